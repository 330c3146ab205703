import { inWords, Tally } from './report.js';
import type { Mismatch } from './run-trace.js';
import { stepInWords } from './step-in-words.js';

const mismatch = (more: Partial<Mismatch>): Mismatch => ({
  trace: 't',
  step: 1,
  field: 'errno',
  expected: null,
  got: 'ENOENT',
  words: 'close($fd)',
  ...more,
});

describe('a step in words', () => {
  it.each([
    [{ i: 0, op: 'ioctl', fd: '$d', req: 'IOMMU_DESTROY', in: { id: '$x' } }, 'ioctl($d, IOMMU_DESTROY, {id:$x})'],
    [{ i: 0, op: 'open', proc: 'c1', path: '/dev/iommu', flags: 'O_RDWR' }, 'c1: open(/dev/iommu, flags O_RDWR)'],
    [{ i: 0, op: 'proc_status' }, 'proc_status()'],
  ])('%j', (step, text) => expect(stepInWords(step)).toBe(text));

  it('long values are cut', () => {
    expect(stepInWords({ i: 0, op: 'pwrite', fd: 3, data: 'a'.repeat(1000) }).length).toBeLessThan(200);
  });
});

describe('causes', () => {
  const causeOf = (more: Partial<Mismatch>): string => {
    const tally = new Tally();
    tally.add('g', { trace: 't', steps: 2, stepsMatched: 1, mismatches: [mismatch(more)], deviations: [] });
    return tally.causes()[0]!.cause;
  };

  it.each([
    [
      'a request by its name',
      { words: 'c1: ioctl($d, IOMMU_DESTROY, {id:1})' },
      'IOMMU_DESTROY: errno: none, got ENOENT',
    ],
    [
      'paths of all functions alike',
      { words: 'open(/dev/vfio/{group:0000:00:03.0}, flags O_RDWR)' },
      'open /dev/vfio/{group:BDF}: errno: none, got ENOENT',
    ],
    ['another result without its value', { field: 'out', got: { a: 1 } }, 'close: out: another value'],
    ['what the lab lacks', { lacks: 'mlock' }, 'not in the lab: mlock'],
  ])('%s', (_name, more, cause) => expect(causeOf(more)).toBe(cause));

  it('a step counts once, and what went wrong first comes first', () => {
    const tally = new Tally();
    const later = [2, 3, 4].map((step) => mismatch({ step, words: 'dup($fd)' }));
    const mismatches = [mismatch({ field: 'ret' }), mismatch({}), ...later];
    tally.add('g', { trace: 't', steps: 5, stepsMatched: 1, mismatches, deviations: [] });
    expect(tally.causes().map(({ cause, count, first }) => [cause, count, first])).toEqual([
      ['close: errno: none, got ENOENT', 1, 1],
      ['dup: errno: none, got ENOENT', 3, 0],
    ]);
  });
});

it('a mismatch is told in two lines', () => {
  expect(inWords(mismatch({ lacks: 'dup' }))).toBe(
    't step 1: close($fd)\n  errno: a real kernel answered null, the lab "ENOENT" (not in the lab yet: dup)',
  );
});
