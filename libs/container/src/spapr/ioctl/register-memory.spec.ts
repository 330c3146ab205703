import type { Bench } from '../../testing/bench.js';
import { FIRST, PAGE, power, REGISTER, SECOND, TCE, UNREGISTER, V2, WHOLE, wholeness } from '../testing/power.js';

const KB = 1024n;
const register = async (b: Bench, fd: number, fields: object) => {
  const { ret, errno } = await b.ioctl(fd, REGISTER, fields);
  return errno ?? ret;
};
const unregister = async (b: Bench, fd: number, fields: object) => {
  const { ret, errno } = await b.ioctl(fd, UNREGISTER, fields);
  return errno ?? ret;
};

it('pins and charges in pages of the kernel, until the range is given up', async () => {
  const { b, fd, va } = await power(V2);
  expect(await register(b, fd, { vaddr: va, size: 2n * PAGE })).toBe(0);
  expect(await b.status()).toEqual({ vmLockedKb: 128, vmPinnedKb: 0 });
  expect(b.left()).toMatchObject({ registrations: 1 });
  expect(await unregister(b, fd, { vaddr: va, size: 2n * PAGE })).toBe(0);
  expect(await b.status()).toEqual({ vmLockedKb: 0, vmPinnedKb: 0 });
  expect(wholeness(b)).toEqual(WHOLE);
});

it.each([
  ['argsz', { argsz: 23 }, 'EINVAL'],
  ['a flag', { flags: 1 }, 'EINVAL'],
  ['a page of an IOMMU, not of the kernel', { size: TCE }, 'EINVAL'],
  ['an address in a page', (va: bigint) => ({ vaddr: va + TCE }), 'EINVAL'],
  ['one that wraps', { vaddr: (1n << 64n) - PAGE, size: 2n * PAGE }, 'EINVAL'],
  ['nothing (q003)', { size: 0n }, 'ENOMEM'],
  ['more than can be kept account of (q003)', { size: 0x7fff_ffff_0000n }, 'ENOMEM'],
  ['memory that is not there', { vaddr: PAGE }, 'EFAULT'],
  ['a range that is there in part: the pages that are (p031)', { size: 64n * PAGE }, 8],
])('%s', async (_what, wrong, answer) => {
  const { b, fd, va } = await power(V2);
  const fields = typeof wrong === 'function' ? wrong(va) : wrong;
  expect(await register(b, fd, { vaddr: va, size: PAGE, ...fields })).toBe(answer);
  expect(await b.lockedKb()).toBe(0);
  expect(b.left()).not.toHaveProperty('registrations');
});

it('the same range once more is EBUSY, one that overlaps EINVAL (SURPRISES 60)', async () => {
  const { b, fd, va } = await power(V2);
  expect(await register(b, fd, { vaddr: va + PAGE, size: 2n * PAGE })).toBe(0);
  expect(await register(b, fd, { vaddr: va + PAGE, size: 2n * PAGE })).toBe('EBUSY');
  for (const size of [2n, 1n, 3n]) {
    expect(await register(b, fd, { vaddr: va + (size === 1n ? PAGE : 0n), size: size * PAGE })).toBe('EINVAL');
  }
  expect(await register(b, fd, { vaddr: va, size: PAGE })).toBe(0);
  expect(await b.lockedKb()).toBe(192);
  expect(wholeness(b)).toEqual(WHOLE);
});

it('RLIMIT_MEMLOCK is asked first, in pages of the kernel (p037)', async () => {
  const credentials = { uid: 1000, caps: 0, memlock: Number(3n * PAGE - 1n * KB) };
  const { b, fd, va } = await power(V2, { credentials });
  expect(await register(b, fd, { vaddr: va, size: 3n * PAGE })).toBe('ENOMEM');
  expect(await register(b, fd, { vaddr: PAGE, size: 3n * PAGE })).toBe('ENOMEM');
  expect(await register(b, fd, { vaddr: va, size: 2n * PAGE })).toBe(0);
});

it('containers of one process share a registration, and its charge', async () => {
  const { b, fd, va } = await power(V2);
  const other = await b.ready(V2, [SECOND]);
  const range = { vaddr: va, size: 4n * PAGE };
  for (const each of [fd, other.fd]) expect(await register(b, each, range)).toBe(0);
  expect(await b.lockedKb()).toBe(256);
  expect(await unregister(b, fd, range)).toBe(0);
  expect(await unregister(b, fd, range)).toBe('ENOENT');
  expect(await b.lockedKb()).toBe(256);
  expect(await b.map(other.fd, { vaddr: va, iova: 0n, size: PAGE })).toBeUndefined();
  expect(await b.dmaWrite(SECOND.members[0]!, 0n)).toBe(true);
  await b.leave(other.container, SECOND);
  expect(await b.lockedKb()).toBe(0);
  expect(wholeness(b)).toEqual(WHOLE);
});

it('after the first one the container is that process’s: others get EPERM (SURPRISES 67)', async () => {
  const { b, fd, va } = await power(V2);
  expect(await register(b, fd, { vaddr: va, size: PAGE })).toBe(0);
  const other = await b.host.process('other');
  const granted = await b.run(b.p.grant(fd, other));
  if (!granted.ok) throw new Error(granted.errno);
  const { errno } = await b.ioctl(granted.value, REGISTER, { vaddr: va, size: PAGE }, undefined, other);
  expect(errno).toBe('EPERM');
  expect((await b.plain(granted.value, 0x3b65, 2, other)).ret).toBe(1);
});

describe('UNREGISTER_MEMORY', () => {
  it.each([
    ['argsz', { argsz: 23 }, 'EINVAL'],
    ['a flag', { flags: 1 }, 'EINVAL'],
    ['half a page', { size: TCE }, 'EINVAL'],
    ['a part of a registration', { size: PAGE }, 'ENOENT'],
  ])('%s is refused', async (_what, wrong, errno) => {
    const { b, fd, va } = await power(V2);
    expect(await register(b, fd, { vaddr: va, size: 2n * PAGE })).toBe(0);
    expect(await unregister(b, fd, { vaddr: va, size: 2n * PAGE, ...wrong })).toBe(errno);
  });

  it('before anything is registered: EPERM', async () => {
    const { b, fd, va } = await power(V2);
    expect(await unregister(b, fd, { vaddr: va, size: PAGE })).toBe('EPERM');
  });

  it('kernel bug: of mapped memory it succeeds, and the charge stays until the process ends (p039)', async () => {
    const { b, fd, va, container } = await power(V2);
    const range = { vaddr: va, size: PAGE };
    expect(await register(b, fd, range)).toBe(0);
    expect(await b.map(fd, { vaddr: va, iova: 0n, size: PAGE })).toBeUndefined();
    expect(await unregister(b, fd, range)).toBe(0);
    expect(await unregister(b, fd, range)).toBe('ENOENT');
    expect(await b.dmaWrite(FIRST.members[0]!, 0n)).toBe(true);
    await b.leave(container, FIRST);
    await b.close(fd);
    expect(await b.lockedKb()).toBe(64);
    expect(b.left()).toEqual({ registrations: 1 });
    await b.run(b.p.exit());
    expect(b.left()).toEqual({});
    expect(b.host.broken()).toEqual([]);
  });
});
