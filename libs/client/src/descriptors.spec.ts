import { Descriptors } from './descriptors.js';

const file = { token: 't', owner: 'iommufd', kind: 'iommufd', users: 1 };

describe('file descriptors', () => {
  it('a new one is the lowest number that is free, from 3 on', () => {
    const fds = new Descriptors();
    expect([fds.install(file), fds.install(file), fds.install(file)]).toEqual([3, 4, 5]);
    expect(fds.drop(4)).toBe(file);
    expect(fds.install(file)).toBe(4);
    expect(fds.numbers()).toEqual([3, 4, 5]);
  });

  it('one that was dropped, or never opened, is no file', () => {
    const fds = new Descriptors();
    expect(fds.drop(fds.install(file))).toBe(file);
    expect([fds.get(3), fds.drop(3), fds.get(-1)]).toEqual([undefined, undefined, undefined]);
  });
});
