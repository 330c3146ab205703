import { constants } from 'node:os';
import { errnoName, errnoNumber, errnos, fail, isErrno, ok } from './errno.js';

describe('errno', () => {
  // EBADE, EBADFD, ENOTSUPP ... are missing from the runtime's table on some builds: compare those it has.
  const known = errnos.filter((name) => name in constants.errno && process.platform === 'linux');
  it.each(known)('%s has the number of this Linux', (name) =>
    expect(errnoNumber(name)).toBe(constants.errno[name as keyof typeof constants.errno]),
  );

  it.each([
    ['EDEADLK', 35],
    ['EBADE', 52],
    ['EBADFD', 77],
    ['EOPNOTSUPP', 95],
    ['ENOTSUPP', 524],
  ] as const)('%s is %d', (name, number) => expect(errnoNumber(name)).toBe(number));

  it('names and numbers are one to one', () =>
    expect(errnos.map((name) => errnoName(errnoNumber(name)))).toEqual([...errnos]));

  it('numbers no ioctl returns have no name', () => expect([0, -22, 515, 4095].map(errnoName)).toEqual(Array(4)));

  it('a name is recognised, a property of every object is not', () =>
    expect(['EINVAL', 'ENOIOCTLCMD', 'toString', ''].map(isErrno)).toEqual([true, false, false, false]));

  it('results carry a value or an errno', () => {
    expect(ok(1)).toEqual({ ok: true, value: 1 });
    expect(fail('EPERM')).toEqual({ ok: false, errno: 'EPERM' });
  });
});
