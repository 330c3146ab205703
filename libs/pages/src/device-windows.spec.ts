import { DEVICE_FRAMES, deviceAddress, IOMMU, pagesApi, RLIMIT_LOCKED, RLIMIT_MM } from '@vfiolab/core';
import { DeviceWindows, MAX_WINDOWS } from './device-windows.js';
import { Bench, errnoOf, PAGE, type TestProcess, value } from './testing/harness.js';

const BDF = '0000:00:03.0';
const DEVICE = deviceAddress(BDF);

function mapped(frames = 64, pageShift = 12) {
  const bench = new Bench(frames, pageShift);
  const p = bench.start('vm', { uid: 1000, caps: 0, memlock: 2 * PAGE });
  const map = (change: object = {}, from = DEVICE) =>
    bench.call(from, pagesApi.mmapDevice, {
      bdf: BDF,
      client: p.client,
      region: 0,
      pages: 16,
      page: 0,
      va: 0,
      length: 16 * PAGE,
      prot: 3,
      ...change,
    });
  const power = (on: boolean) => bench.call(DEVICE, pagesApi.deviceMemory, { bdf: BDF, on });
  return { bench, p, map, power };
}
const pin = (p: TestProcess, va: number, length: number, writable = true) =>
  p.store(va, length, { rlimitMode: RLIMIT_LOCKED, writable });

describe('device memory in a process', () => {
  it('is pinned for a container only, only while the device answers, and costs nothing', () => {
    const { bench, p, map, power } = mapped();
    const va = value(map());
    expect(errnoOf(pin(p, va, 4 * PAGE))).toBe('EFAULT');
    power(true);
    const { store, pinned } = value(pin(p, va + PAGE, 8 * PAGE));
    expect(pinned).toEqual({ runs: [{ frame: DEVICE_FRAMES + 1, count: 8 }], next: 8 });
    expect(p.locks()).toEqual([0, 0]);
    expect(errnoOf(p.store(va, PAGE, { rlimitMode: RLIMIT_MM }))).toBe('EFAULT');
    bench.restart();
    power(false);
    expect(errnoOf(pin(p, va, PAGE))).toBe('EFAULT');
    expect(p.munmap(va, 16 * PAGE)).toBe(0);
    bench.unpin(store, [{ first: 0, count: 8 }], true);
    bench.gone(p);
    expect(Object.values(bench.core.figures()).every((n) => n === 0)).toBe(true);
  });

  it('beside memory only the memory is charged', () => {
    const { p, map, power } = mapped();
    const memory = p.mmap(2 * PAGE, { va: 0x10000000 });
    expect(value(map({ va: memory + 2 * PAGE, length: 2 * PAGE }))).toBe(memory + 2 * PAGE);
    power(true);
    expect(errnoOf(pin(p, memory, 4 * PAGE))).toBe(0);
    expect(p.locks()).toEqual([8, 0]);
  });

  it('protection counts, and there is nothing to read or write here', () => {
    const { p, map, power } = mapped();
    const va = value(map({ prot: 1 }));
    power(true);
    expect(errnoOf(pin(p, va, PAGE))).toBe('EFAULT');
    expect(errnoOf(pin(p, va, PAGE, false))).toBe(0);
    expect(errnoOf(p.call(pagesApi.memRead, { va, length: 4 }))).toBe('EFAULT');
    expect(p.write(va, 'x')).toBe('EFAULT');
    expect(errnoOf(p.call(pagesApi.mlock, { va, length: PAGE }))).toBe(0);
    expect(p.locks()).toEqual([0, 0]);
  });

  it('a part may be unmapped; a child has what its parent has', () => {
    const { bench, p, map, power } = mapped();
    const va = value(map());
    power(true);
    expect(p.munmap(va + 4 * PAGE, PAGE)).toBe(0);
    const child = p.fork('child');
    bench.restart();
    const { pinned } = value(pin(child, va + 5 * PAGE, PAGE));
    expect(pinned.runs).toEqual([{ frame: DEVICE_FRAMES + 5, count: 1 }]);
    expect(errnoOf(pin(child, va + 3 * PAGE, 2 * PAGE))).toBe('EFAULT');
  });

  it.each([
    ['another actor', {}, IOMMU, 'EPERM'],
    ['a client that is no process', { client: 'client:nobody' }, DEVICE, 'ESRCH'],
    ['no length', { length: 0 }, DEVICE, 'EINVAL'],
    ['more than the region has', { length: 17 * PAGE }, DEVICE, 'EINVAL'],
    ['behind the region', { page: 16, length: PAGE }, DEVICE, 'EINVAL'],
    ['more than there is room for', { pages: DEVICE_FRAMES }, DEVICE, 'ENOMEM'],
  ])('%s: refused', (_what, change, from, errno) => {
    const { map } = mapped();
    expect(errnoOf(map(change, from))).toBe(errno);
  });

  it.each([
    ['a page of 4 KiB within one of 64 KiB (trace d043)', { page: 15, length: PAGE }, 'EINVAL'],
    ['the first bytes, which are a page', { length: 1 }, 0],
    ['one byte more than the page of a small region', { pages: 4, length: 16 * PAGE + 1 }, 'EINVAL'],
    ['the whole page of a small region', { pages: 4, length: 16 * PAGE }, 0],
  ])('a kernel of 64 KiB pages: %s', (_what, change, errno) => {
    const { map } = mapped(256, 16);
    expect(errnoOf(map(change))).toBe(errno);
  });

  it('a host whose memory reaches that far has no room for it', () => {
    const { map } = mapped(DEVICE_FRAMES + 1);
    expect(errnoOf(map())).toBe('ENOMEM');
  });

  it('nobody switches the memory of another device', () => {
    const { bench, p, map } = mapped();
    const va = value(map());
    bench.call(deviceAddress('0000:00:04.0'), pagesApi.deviceMemory, { bdf: BDF, on: true });
    expect(errnoOf(pin(p, va, PAGE))).toBe('EFAULT');
  });

  it('a frame tells its device', () => {
    const { bench, map } = mapped();
    value(map());
    const at = (frame: number) => bench.call(IOMMU, pagesApi.deviceWindow, { frame: DEVICE_FRAMES + frame });
    expect(at(15)).toEqual({ bdf: BDF, region: 0, page: 15 });
    expect(at(16)).toBeUndefined();
  });
});

it('windows keep their frames, never touch, and are bounded', () => {
  const windows = new DeviceWindows();
  const first = value(windows.of(BDF, 0, 4));
  expect(value(windows.of(BDF, 0, 4))).toBe(first);
  expect(value(windows.of(BDF, 2, 4)).frame).toBe(first.frame + 5);
  for (let i = 2; i < MAX_WINDOWS; i++) value(windows.of(`${i}`, 0, 1));
  expect(errnoOf(windows.of('more', 0, 1))).toBe('ENOMEM');
  expect(errnoOf(windows.of(BDF, 0, 4))).toBe(0);
});
