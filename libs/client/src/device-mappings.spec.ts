import { ok } from '@vfiolab/uapi';
import { DeviceMappings, MAX_DEVICE_MAPPINGS } from './device-mappings.js';

describe('mappings', () => {
  const file = { token: 't', owner: 'device:x', kind: 'device', users: 1 };
  const mapping = (va: number, length = 0x2000) => ({ va, length, file, offset: 0, prot: 3 });

  it('are found by any range inside of them, and by no other', () => {
    const all = new DeviceMappings();
    all.add(mapping(0x10000));
    expect(all.holding(0x11ff8, 8)).toMatchObject({ file });
    expect(all.holding(0x11ffc, 8)).toBeUndefined();
    expect(all.holding(0xfffc, 4)).toBeUndefined();
  });

  it('get addresses that do not touch', () => {
    const all = new DeviceMappings();
    const [a, b] = [all.add(mapping(0)), all.add(mapping(0))];
    expect(a.ok && b.ok && b.value - a.value).toBe(0x3000);
  });

  it.each([
    ['a place that is taken', 0x11000, 'EEXIST'],
    ['an address that is not on a page', 0x20004, 'EINVAL'],
  ])('%s is refused', (_name, va, errno) => {
    const all = new DeviceMappings();
    all.add(mapping(0x10000));
    expect(all.add(mapping(va))).toEqual({ ok: false, errno });
  });

  /** Three pages, of which the middle one was unmapped or changed, and the file's users. */
  const cutInThree = (act: (all: DeviceMappings) => unknown) => {
    const all = new DeviceMappings();
    const users = { ...file };
    all.add({ ...mapping(0x10000, 0x3000), file: users });
    const answer = act(all);
    const pieces = all.list().map(({ va, length, offset, prot }) => [va, length, offset, prot]);
    return { answer, pieces: pieces.sort((a, b) => a[0]! - b[0]!), users: users.users };
  };

  it('keep what is outside of a range that goes, each piece a user of the file', () =>
    expect(cutInThree((all) => all.remove(0x11000, 1))).toMatchObject({
      answer: { ok: true, value: [{ va: 0x11000, length: 0x1000, offset: 0x1000 }] },
      pieces: [
        [0x10000, 0x1000, 0, 3],
        [0x12000, 0x1000, 0x2000, 3],
      ],
      users: 3,
    }));

  it('change their protection in part', () =>
    expect(cutInThree((all) => all.protect(0x11000, 0x2000, 1))).toEqual({
      answer: ok(undefined),
      pieces: [
        [0x10000, 0x1000, 0, 3],
        [0x11000, 0x2000, 0x1000, 1],
      ],
      users: 2,
    }));

  it.each([
    ['behind the end', 0x12000, 0x2000],
    ['before the start', 0xf000, 0x2000],
    ['not from a page on', 0x10004, 0x1000],
    ['nothing', 0x10000, 0],
  ])('leave protecting %s to others', (_name, va, length) =>
    expect(cutInThree((all) => all.protect(va, length, 1))).toMatchObject({ answer: undefined, users: 1 }),
  );

  it('are bounded', () => {
    const all = new DeviceMappings();
    for (let i = 0; i < MAX_DEVICE_MAPPINGS; i++) expect(all.add(mapping(0, 1)).ok).toBe(true);
    expect(all.full).toBe(true);
    expect(all.add(mapping(0, 1))).toEqual({ ok: false, errno: 'ENOMEM' });
    all.remove(all.list()[0]!.va, 1);
    all.add(mapping(0x10000, 0x3000));
    expect(all.remove(0x11000, 0x1000)).toEqual({ ok: false, errno: 'ENOMEM' });
  });
});
