import type { Bench } from '../../testing/bench.js';
import {
  CREATE,
  described,
  FIRST,
  power,
  registered,
  REMOVE,
  SECOND,
  SECOND_WINDOW,
  TCE,
  V2,
  WHOLE,
  wholeness,
} from '../testing/power.js';

const WINDOW = { page_shift: 12, window_size: 0x1000_0000n, levels: 1 };
const create = async (b: Bench, fd: number, fields: object = {}) => {
  const { errno, out } = await b.ioctl(fd, CREATE, { ...WINDOW, ...fields });
  return errno ?? out.start_addr;
};
const remove = async (b: Bench, fd: number, start = 0n, more = {}) =>
  (await b.ioctl(fd, REMOVE, { start_addr: start, ...more })).errno;

it('the default window is made first; the platform places the other; there are two slots (p034)', async () => {
  const { b, fd } = await power(V2);
  expect(await create(b, fd)).toBe(SECOND_WINDOW);
  // 4 MiB and 512 KiB of table, each with its copy.
  expect(await b.lockedKb()).toBe(2 * (4096 + 512));
  expect(await create(b, fd)).toBe('ENOSPC');
  expect(await remove(b, fd, SECOND_WINDOW + 5n * TCE)).toBeUndefined();
  expect(await remove(b, fd)).toBeUndefined();
  expect(await b.lockedKb()).toBe(0);
  expect(await create(b, fd)).toBe(0n);
  expect(wholeness(b)).toEqual(WHOLE);
});

it('removing address 0 forgets a default window that was not made, once (p033)', async () => {
  const { b, fd } = await power(V2);
  expect([await remove(b, fd), await remove(b, fd)]).toEqual([undefined, 'EINVAL']);
  expect(await b.lockedKb()).toBe(0);
});

it('REMOVE takes what is mapped along', async () => {
  const { b, fd, va } = await registered();
  expect(await create(b, fd)).toBe(SECOND_WINDOW);
  expect(await b.map(fd, { vaddr: va, iova: SECOND_WINDOW, size: TCE })).toBeUndefined();
  expect(await b.map(fd, { vaddr: va, iova: 0n, size: TCE })).toBeUndefined();
  const [bdf] = FIRST.members;
  expect(await remove(b, fd, SECOND_WINDOW)).toBeUndefined();
  expect([await b.dmaWrite(bdf!, SECOND_WINDOW), await b.dmaWrite(bdf!, 0n)]).toEqual([false, true]);
  expect(await b.map(fd, { vaddr: va, iova: SECOND_WINDOW, size: TCE })).toBe('ENXIO');
  expect(wholeness(b)).toEqual(WHOLE);
});

it.each([
  ['argsz', { argsz: 39 }, 'EINVAL'],
  ['a flag', { flags: 1 }, 'EINVAL'],
  ['a page size that is not offered', { page_shift: 13 }, 'EINVAL'],
  ['no level', { levels: 0 }, 'EINVAL'],
  ['too many levels', { levels: 6 }, 'EINVAL'],
  ['no power of two', { window_size: 0x3000n }, 'EINVAL'],
  ['a table larger than an allocation', { window_size: 1n << 40n }, 'ENOMEM'],
])('%s is refused', async (_what, wrong, errno) => {
  const { b, fd } = await power(V2);
  expect(await create(b, fd, wrong)).toBe(errno);
  expect(b.host.broken()).toEqual([]);
});

it('kernel bug: what the platform refuses stays charged (p057)', async () => {
  const { b, fd } = await power(V2);
  await remove(b, fd);
  expect(await create(b, fd, { window_size: 1n << 40n })).toBe('ENOMEM');
  expect(await b.lockedKb()).toBe(4 * 1024 * 1024);
  expect(described(b)).toMatch(/kernel bug: 1048576 frames are charged/);
});

it('ENOMEM: the limit has no room for the table (p037)', async () => {
  const { b, fd } = await power(V2, { credentials: { uid: 1000, caps: 0, memlock: 1 << 20 } });
  expect(await create(b, fd)).toBe('ENOMEM');
  expect(await remove(b, fd)).toBeUndefined();
  expect(await create(b, fd)).toBe(0n);
  expect(await b.lockedKb()).toBe(1024);
});

it.each([
  ['argsz', { argsz: 15 }, 'EINVAL'],
  ['a flag', { flags: 1 }, 'EINVAL'],
])('REMOVE: %s is refused', async (_what, wrong, errno) => {
  const { b, fd } = await power(V2);
  expect(await remove(b, fd, 0n, wrong)).toBe(errno);
});

describe('two groups', () => {
  it('have the windows in common; one that leaves clears them for both (p048)', async () => {
    const { b, fd, va, container } = await registered({ groups: [FIRST, SECOND] });
    expect(await b.map(fd, { vaddr: va, iova: 0n, size: TCE })).toBeUndefined();
    const both = () => Promise.all([FIRST, SECOND].map(({ members }) => b.dmaWrite(members[0]!, 0n)));
    expect(await both()).toEqual([true, true]);
    await b.leave(container, SECOND);
    expect(await both()).toEqual([false, false]);
    expect(wholeness(b)).toEqual(WHOLE);
  });

  it('under a hypervisor there is no window for two groups, and none that is there is shared', async () => {
    const { b, fd } = await power(V2, { iommu: 'ppc64-pseries', groups: [FIRST, SECOND] });
    expect(await create(b, fd)).toBe('EPERM');
    expect(await b.lockedKb()).toBe(0);
    const one = await power(V2, { iommu: 'ppc64-pseries' });
    expect(await create(one.b, one.fd)).toBe(SECOND_WINDOW);
    expect(await one.b.join(one.fd, SECOND)).toEqual({ ok: false, errno: 'EPERM' });
  });
});

it('a hypervisor that refused once refuses that group for good, and another one not (p037)', async () => {
  const { b, fd, container } = await power(V2, { iommu: 'ppc64-pseries' });
  await remove(b, fd);
  expect(await create(b, fd, { page_shift: 16 })).toBe(SECOND_WINDOW);
  expect(await create(b, fd, { page_shift: 16 })).toBe('ENODEV');
  await b.leave(container, FIRST);
  const again = await b.ready(V2, [FIRST]);
  expect(await create(b, again.fd)).toBe('ENODEV');
  const other = await b.ready(V2, [SECOND]);
  expect(await create(b, other.fd)).toBe(SECOND_WINDOW);
  expect(wholeness(b)).toEqual(WHOLE);
});
