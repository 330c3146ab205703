/**
 * What fork, exec, exit, munmap, mprotect, huge pages and copy-on-write do to memory that a device has: nothing that the
 * device could see. Every test looks at bytes that DMA moved.
 */
import { F_SEAL_SHRINK, MFD_ALLOW_SEALING } from '@vfiolab/core';
import type { Device } from './support/device.js';
import { FUNCTIONS, Lab, NOTHING, user } from './support/lab.js';
import { PAGE, pattern, type Program, READABLE } from './support/program.js';

const AT = 0x100000n;
/** Memory of whoever looks at what DMA read. */
const SCRATCH = 0x4000000n;
const FIXED_READ = 1 | READABLE;

interface Setup {
  readonly lab: Lab;
  readonly p: Program;
  readonly ioas: number;
  readonly device: Device;
}

async function setup(): Promise<Setup> {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  const [ioas, device] = [await p.ioas(), await p.device(FUNCTIONS[0])];
  await device.attached(ioas);
  return { lab, p, ioas, device };
}

/** Memory of the program for looking, mapped at SCRATCH. */
async function scratch(p: Program, ioas: number): Promise<bigint> {
  const va = await p.memory(PAGE);
  expect(await p.map(ioas, SCRATCH, va, PAGE)).toBeUndefined();
  return va;
}

/** What the device reads at an IOVA, seen through the scratch memory of a program. */
async function dmaRead(device: Device, p: Program, window: bigint, iova: bigint, length: number): Promise<number[]> {
  await p.write(window, new Uint8Array(length).fill(0xee));
  await device.fetch(SCRATCH, length);
  await device.fetch(iova, length);
  await device.store(SCRATCH, length);
  return p.read(window, length);
}

/** Lets the device write bytes: they are taken from the scratch memory. */
async function dmaWrite(device: Device, p: Program, window: bigint, iova: bigint, bytes: Uint8Array): Promise<void> {
  await p.write(window, bytes);
  await device.fetch(SCRATCH, bytes.length);
  await device.store(iova, bytes.length);
}

it('58: munmap: the device keeps the page; new memory at the same address is another page', async () => {
  const { lab, p, ioas, device } = await setup();
  const window = await scratch(p, ioas);
  const va = await p.memory(2 * PAGE);
  await p.write(va, pattern(64));
  expect(await p.map(ioas, AT, va, 2 * PAGE)).toBeUndefined();
  await p.munmap(va, 2 * PAGE);
  expect((await lab.run(p.process.read(Number(va), 1))).ok).toBe(false);
  expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64)]);
  expect((await p.counters()).pinned).toBe(3);

  await p.must(p.process.mmap(2 * PAGE, { va: Number(va) }));
  await p.write(va, pattern(64, 100));
  expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64)]);
  await dmaWrite(device, p, window, AT, pattern(64, 200));
  expect(await p.read(va, 64)).toEqual([...pattern(64, 100)]);
  // Only a new mapping shows the new page.
  expect(await p.unmap(ioas, AT, 2 * PAGE)).toBe(BigInt(2 * PAGE));
  expect(await p.map(ioas, AT, va, 2 * PAGE)).toBeUndefined();
  expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64, 100)]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('58: freed and used again by somebody else: no page that a device has goes to another owner', async () => {
  const { lab, p, ioas, device } = await setup();
  const window = await scratch(p, ioas);
  const va = await p.memory(16 * PAGE);
  await p.write(va, pattern(64));
  expect(await p.map(ioas, AT, va, 16 * PAGE)).toBeUndefined();
  await p.munmap(va, 16 * PAGE);
  const other = await lab.program('other');
  const theirs = await other.memory(4096 * PAGE);
  for (let i = 0; i < 64; i++) await other.write(theirs + BigInt(i * PAGE), new Uint8Array(PAGE).fill(0x55));
  for (let i = 0; i < 16; i++) await dmaWrite(device, p, window, AT + BigInt(i * PAGE), new Uint8Array(64).fill(0x66));
  for (let i = 0; i < 64; i++)
    expect(new Set(await other.read(theirs + BigInt(i * PAGE), 64))).toEqual(new Set([0x55]));
  expect(new Set(await dmaRead(device, p, window, AT + BigInt(5 * PAGE), 64))).toEqual(new Set([0x66]));
  expect(await lab.afterwards(p, other)).toEqual(NOTHING);
});

it('58: mprotect: DMA asks the permissions of the mapping, not those that the CPU has by now', async () => {
  const { lab, p, ioas, device } = await setup();
  const window = await scratch(p, ioas);
  const va = await p.memory(PAGE);
  await p.write(va, pattern(64));
  expect(await p.map(ioas, AT, va, PAGE)).toBeUndefined();
  await p.must(p.process.mprotect(Number(va), PAGE, 0));
  expect((await lab.run(p.process.read(Number(va), 1))).ok).toBe(false);
  expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64)]);
  await dmaWrite(device, p, window, AT, pattern(64, 77));
  await p.must(p.process.mprotect(Number(va), PAGE, 1));
  expect(await p.read(va, 64)).toEqual([...pattern(64, 77)]);
  // A mapping that is made now asks what holds now.
  expect(await p.map(ioas, AT + 0x10000n, va, PAGE)).toBe('EFAULT');
  expect(await p.map(ioas, AT + 0x10000n, va, PAGE, FIXED_READ)).toBeUndefined();
  expect(await dmaRead(device, p, window, AT + 0x10000n, 64)).toEqual([...pattern(64, 77)]);
  await dmaWrite(device, p, window, AT + 0x10000n, pattern(64, 1));
  expect(await p.read(va, 64)).toEqual([...pattern(64, 77)]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('58: fork: the device stays with the parent, whoever writes first', async () => {
  for (const first of ['parent', 'child'] as const) {
    const { lab, p, ioas, device } = await setup();
    const window = await scratch(p, ioas);
    const va = await p.memory(PAGE);
    await p.write(va, pattern(64));
    expect(await p.map(ioas, AT, va, PAGE)).toBeUndefined();
    const child = await p.fork('child');
    const writers: Record<string, Program> = { parent: p, child };
    await writers[first]!.write(va, pattern(64, first === 'parent' ? 50 : 90));
    expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64, first === 'parent' ? 50 : 1)]);
    await p.write(va, pattern(64, 60));
    expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64, 60)]);
    await dmaWrite(device, p, window, AT, pattern(64, 120));
    expect(await p.read(va, 64)).toEqual([...pattern(64, 120)]);
    expect(await child.read(va, 64)).toEqual([...pattern(64, first === 'child' ? 90 : 1)]);
    expect([(await p.counters()).pinned, (await child.counters()).pinned]).toEqual([2, 0]);
    expect(await lab.afterwards(p, child)).toEqual(NOTHING);
  }
});

it('58: fork: what the child maps is its own memory, charged to it; shared memory is one for all three', async () => {
  const { lab, p, ioas, device } = await setup();
  const window = await scratch(p, ioas);
  const [own, shared] = [await p.memory(PAGE), await p.memory(PAGE, { shared: true })];
  await p.write(own, pattern(64));
  expect(await p.map(ioas, AT, shared, PAGE)).toBeUndefined();
  const child = await p.fork('child');
  await child.write(own, pattern(64, 33));
  expect(await child.map(ioas, AT + 0x10000n, own, PAGE)).toBeUndefined();
  expect(await dmaRead(device, p, window, AT + 0x10000n, 64)).toEqual([...pattern(64, 33)]);
  expect([(await p.counters()).pinned, (await child.counters()).pinned]).toEqual([2, 1]);
  await dmaWrite(device, p, window, AT, pattern(64, 44));
  for (const each of [p, child]) expect(await each.read(shared, 64)).toEqual([...pattern(64, 44)]);
  await child.write(shared, pattern(64, 55));
  expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64, 55)]);
  // The child's memory outlives it as long as the device has it.
  await child.exit();
  expect(await dmaRead(device, p, window, AT + 0x10000n, 64)).toEqual([...pattern(64, 33)]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('58: exec: pins stay with the old memory; the new program sees them by DMA only; nothing new is pinned there', async () => {
  const { lab, p, ioas, device } = await setup();
  const [va, lazy] = [await p.memory(2 * PAGE), await p.ioas()];
  await p.write(va, pattern(64));
  expect(await p.map(ioas, AT, va, 2 * PAGE)).toBeUndefined();
  expect(await p.map(lazy, AT, va, PAGE)).toBeUndefined();
  await p.exec();
  expect((await p.counters()).pinned).toBe(0);
  expect(lab.held()).toMatchObject({ pins: 2 });
  const window = await scratch(p, ioas);
  expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64)]);
  // A further domain takes the pages that are held; those that never were cannot be had any more.
  const second = await p.device(FUNCTIONS[1]);
  const hwpt = await p.hwpt(second.id, ioas);
  expect(await second.attach(lazy)).toBe('EFAULT');
  expect(await second.attach(hwpt)).toBeUndefined();
  expect(await dmaRead(second, p, window, AT, 64)).toEqual([...pattern(64)]);
  expect(await p.unmap(ioas, AT, 2 * PAGE)).toBe(BigInt(2 * PAGE));
  expect(lab.held()).toMatchObject({ pins: 1 });
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('58: exit of the mapper: the device still sees his pages, and his user pays until they go', async () => {
  const lab = await Lab.real();
  const who = user(1000, 8 * PAGE);
  const [a, b] = [await lab.program('a', who), await lab.process('b', who)];
  b.fd = await a.send(a.fd, b);
  const [ioas, device] = [await b.ioas(), await b.device(FUNCTIONS[0])];
  await device.attached(ioas);
  const window = await scratch(b, ioas);
  const va = await a.memory(4 * PAGE);
  await a.write(va, pattern(64));
  expect(await a.map(ioas, AT, va, 4 * PAGE)).toBeUndefined();
  expect(await b.counters()).toEqual({ pinned: 1, locked: 0, user: 5 });
  await a.exit();
  expect(await b.counters()).toEqual({ pinned: 1, locked: 0, user: 5 });
  expect(await dmaRead(device, b, window, AT, 64)).toEqual([...pattern(64)]);
  const theirs = await b.memory(4 * PAGE);
  expect(await b.map(ioas, AT + 0x10000n, theirs, 4 * PAGE)).toBe('ENOMEM');
  expect(await b.unmap(ioas, AT, 4 * PAGE)).toBe(BigInt(4 * PAGE));
  expect(await b.counters()).toEqual({ pinned: 1, locked: 0, user: 1 });
  expect(await b.map(ioas, AT + 0x10000n, theirs, 4 * PAGE)).toBeUndefined();
  expect(await lab.afterwards(b)).toEqual(NOTHING);
});

it.each([
  [21, 0x200000],
  [30, 0x40000000],
] as const)('58: hugetlb pages of 2^%i bytes: pinned as a whole run, kept over munmap', async (pageShift, bytes) => {
  const { lab, p, ioas, device } = await setup();
  const window = await scratch(p, ioas);
  const va = await p.must(p.process.mmap(bytes, { pageShift, va: 0x7000_0000_0000 }));
  const last = BigInt(va + bytes - PAGE);
  await p.write(last, pattern(64));
  expect(await p.map(ioas, 0x8000_0000n, BigInt(va), bytes)).toBeUndefined();
  expect((await p.counters()).pinned).toBe(1 + bytes / PAGE);
  expect(await lab.run(p.process.munmap(va, PAGE))).toMatchObject({ ok: false, errno: 'EINVAL' });
  await p.munmap(BigInt(va), bytes);
  const there = 0x8000_0000n + BigInt(bytes - PAGE);
  expect(await dmaRead(device, p, window, there, 64)).toEqual([...pattern(64)]);
  await dmaWrite(device, p, window, there - 64n, pattern(64, 9));
  expect(await dmaRead(device, p, window, there - 64n, 128)).toEqual([...pattern(64, 9), ...pattern(64)]);
  expect(await p.unmap(ioas, 0x8000_0000n, bytes)).toBe(BigInt(bytes));
  expect((await p.counters()).pinned).toBe(1);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('58: copy-on-write: a page that was pinned for reading only is the one that the program writes to later', async () => {
  const { lab, p, ioas, device } = await setup();
  const window = await scratch(p, ioas);
  // Never touched: the kernel has but one page of zeroes for all who only read, and may not pin that one.
  const va = await p.memory(2 * PAGE);
  expect(await p.map(ioas, AT, va, 2 * PAGE, FIXED_READ)).toBeUndefined();
  expect(new Set(await dmaRead(device, p, window, AT, 64))).toEqual(new Set([0]));
  await p.write(va, pattern(64));
  expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64)]);
  // After a fork neither has lost it.
  const child = await p.fork('child');
  await p.write(va, pattern(64, 20));
  expect(await dmaRead(device, p, window, AT, 64)).toEqual([...pattern(64, 20)]);
  expect(await child.read(va, 64)).toEqual([...pattern(64)]);
  // Forked first, pinned then: the one who maps gets a page of its own.
  expect(await child.map(ioas, AT + 0x10000n, va, PAGE)).toBeUndefined();
  await p.write(va, pattern(64, 30));
  expect(await dmaRead(device, p, window, AT + 0x10000n, 64)).toEqual([...pattern(64)]);
  expect(await lab.afterwards(p, child)).toEqual(NOTHING);
});

it('58: a file that is cut short keeps its pinned pages for the device, and gives others to who comes later', async () => {
  const { lab, p, ioas, device } = await setup();
  const window = await scratch(p, ioas);
  const fd = await p.memfd(2 * PAGE, MFD_ALLOW_SEALING);
  await p.must(p.process.pwrite(fd, PAGE, pattern(64)));
  expect(await p.mapFile(ioas, AT, fd, 0, 2 * PAGE)).toBeUndefined();
  await p.must(p.process.memfds.truncate(fd, PAGE));
  expect(await dmaRead(device, p, window, AT + BigInt(PAGE), 64)).toEqual([...pattern(64)]);
  await p.must(p.process.memfds.truncate(fd, 2 * PAGE));
  expect(new Set(await p.must(p.process.pread(fd, PAGE, 64)))).toEqual(new Set([0]));
  await dmaWrite(device, p, window, AT + BigInt(PAGE), pattern(64, 5));
  expect(new Set(await p.must(p.process.pread(fd, PAGE, 64)))).toEqual(new Set([0]));
  await p.must(p.process.memfds.seal(fd, F_SEAL_SHRINK));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
