import { CONTAINER, deviceApi, iommuApi, sysApi } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { MAX_ACCESS } from './region-access.js';
import { bench, boundBench, CONFIG, type Client, iommufdFd } from './testing/client.js';
import { E1000E, EDU, NVME } from './testing/functions.js';

const REGION = 2 ** 40;
const SOURCE = 0x80;
const DESTINATION = 0x88;
const COUNT = 0x90;
const COMMAND = 0x98;

describe('reads and writes of BARs (trace b042, in its order)', () => {
  const { c, dev } = boundBench(EDU);
  test('with memory decoding off it is EIO', () => {
    expect(c.pread(dev, 0, 4)).toBe('ed000001');
    c.pwrite(dev, CONFIG + 4, '0000');
    expect([c.pread(dev, 0, 4), c.pwrite(dev, 4, '01000000')]).toEqual(['EIO', 'EIO']);
    c.pwrite(dev, CONFIG + 4, '0200');
    expect([c.pread(dev, 0, 4), c.pwrite(dev, 4, '01000000'), c.pread(dev, 4, 4)]).toEqual(['ed000001', 4, 'feffffff']);
  });
  test.each<[string, number, number, string]>([
    ['8 bytes are one access', 0, 8, 'ffffffffffffffff'],
    ['unaligned bytes are accesses of 1 and 2', 1, 3, '000000'],
    ['12 bytes are accesses of 8 and 4', 0, 12, 'ffffffffffffffff00000000'],
    ['at the end it is short', 0xfffff, 4, '00'],
    ['behind the end', 0x100000, 4, 'EINVAL'],
    ['far behind the end', 4294967292, 4, 'EINVAL'],
    ['a BAR without a window', REGION, 4, 'EINVAL'],
    ['the ROM', 6 * REGION, 4, 'EINVAL'],
    ['VGA', 8 * REGION, 1, 'EINVAL'],
    ['region 9', 9 * REGION, 4, 'EINVAL'],
    ['region 100', 100 * REGION, 4, 'EINVAL'],
    ['no bytes', 0, 0, ''],
    ['no bytes of no region', 100 * REGION, 0, ''],
  ])('%s', (_rule, offset, length, data) => {
    expect(c.pread(dev, offset, length)).toBe(data);
  });
  test.each<[string, number, string, string | number]>([
    ['at the end it is short', 0xfffff, '0000', 1],
    ['behind the end', 0x100000, '00', 'EINVAL'],
    ['the ROM', 6 * REGION, '00', 'EINVAL'],
    ['no bytes', 100 * REGION, '', 0],
  ])('write: %s', (_rule, offset, data, answer) => {
    expect(c.pwrite(dev, offset, data)).toBe(answer);
  });
  test(`an access of more than ${MAX_ACCESS} bytes is done in part`, () => {
    expect(c.pread(dev, 0, MAX_ACCESS + 1)).toHaveLength(2 * MAX_ACCESS);
    expect(c.pread(dev, 0, MAX_ACCESS)).toHaveLength(2 * MAX_ACCESS);
  });
});

test('the access mode of the open decides what may be done', () => {
  const c = bench(EDU);
  const [readOnly, writeOnly] = [c.open(0), c.open(1)];
  c.bind(readOnly);
  expect([c.pread(readOnly, 0, 4), c.pwrite(readOnly, 4, '00')]).toEqual(['ed000001', 'EBADF']);
  expect(c.pread(writeOnly, 0, 4)).toBe('EBADF');
});

describe('the MSI-X table is out of reach (trace b053)', () => {
  const { c, dev } = boundBench(E1000E);
  const bar3 = 3 * REGION;
  test('reads all ones, writes are lost, and the rest of the BAR answers', () => {
    expect(c.pread(dev, bar3, 16)).toBe('ff'.repeat(16));
    expect(c.pwrite(dev, bar3, 'deadbeef')).toBe(4);
    expect(c.pread(dev, bar3 + 0x48, 16)).toBe('ff'.repeat(8) + '00'.repeat(8));
    expect(c.pread(dev, bar3 + 8192, 8)).toBe('00'.repeat(8));
  });
  test('memory decoding does not matter for it', () => {
    c.pwrite(dev, CONFIG + 4, '0000');
    expect(c.pread(dev, bar3, 4)).toBe('ffffffff');
    expect(c.pread(dev, bar3 + 0x48, 16)).toBe('EIO');
  });
  test('port BARs answer all the same', () => {
    expect(c.pread(dev, 2 * REGION, 4)).toBe('00000000');
  });
  test('in the register BAR the registers are beside it', () => {
    const nvme = boundBench(NVME);
    expect(nvme.c.pread(nvme.dev, 0, 4)).toBe('ed000001');
    expect(nvme.c.pread(nvme.dev, 0x1ffc, 8)).toBe('00000000ffffffff');
    expect(nvme.c.pread(nvme.dev, 0x3000, 4)).toBe('00000000');
  });
});

function startDma(
  c: Client,
  dev: string,
  source: number,
  destination: number,
  command: number,
): { readonly done: boolean } {
  for (const [register, value] of [
    [SOURCE, source],
    [DESTINATION, destination],
    [COUNT, 16],
  ] as const)
    c.poke(dev, register, BigInt(value), 8);
  return c.poke(dev, COMMAND, BigInt(command), 8);
}

describe('DMA', () => {
  const prepared = (): { c: Client; dev: string } => {
    const t = boundBench(EDU);
    t.c.pwrite(t.dev, CONFIG + 4, '0600');
    t.c.h.world.memory.fill(0x5a, 0x100, 0x110);
    return t;
  };

  test('goes through the IOMMU and interrupts when it is done', () => {
    const { c, dev } = prepared();
    c.setEventfds(dev, 1, 0, [10]);
    startDma(c, dev, 0x100, 0x40000, 1);
    startDma(c, dev, 0x40000, 0x200, 1 | 2 | 4);
    expect([...c.h.world.memory.subarray(0x200, 0x210)]).toEqual(Array(16).fill(0x5a));
    expect(c.h.world.take('e10')).toBe(1);
    expect(c.h.core.check()).toEqual([]);
  });
  test('without bus master the IOMMU is not asked, and the command ends (trace b031)', () => {
    const { c, dev } = prepared();
    c.pwrite(dev, CONFIG + 4, '0200');
    c.h.calls.length = 0;
    startDma(c, dev, 0x100, 0x40000, 1);
    expect(c.h.calls).toEqual([]);
    expect(c.pread(dev, COMMAND, 4)).toBe('00000000');
    expect(c.h.core.describe()[0]).toContain('refused DMA 1');
  });
  test('a fault changes nothing', () => {
    const { c, dev } = prepared();
    startDma(c, dev, 0x40000, 0xfffff, 3);
    expect(c.pread(dev, COMMAND, 4)).toBe('02000000');
  });
  test('while it is under way the registers answer and the run bit is set', () => {
    const { c, dev } = prepared();
    c.h.hold(iommuApi.dma);
    const running = startDma(c, dev, 0x100, 0x40000, 1);
    expect([running.done, c.pread(dev, COMMAND, 4)]).toEqual([false, '01000000']);
    c.h.release(iommuApi.dma);
    expect([running.done, c.pread(dev, COMMAND, 4)]).toEqual([true, '00000000']);
  });
  test.each<[string, (c: Client, dev: string) => { done: boolean }]>([
    [
      'bus master off',
      (c, dev) => c.h.start(sysApi.pwrite, { token: dev, offset: CONFIG + 4, data: Uint8Array.of(2, 0) }, c.address),
    ],
    ['close', (c, dev) => c.h.start(sysApi.close, { token: dev }, c.address)],
  ])('%s waits until no DMA is under way', (_rule, stop) => {
    const { c, dev } = prepared();
    c.h.hold(iommuApi.dma);
    const running = startDma(c, dev, 0x100, 0x40000, 1);
    const stopped = stop(c, dev);
    expect([running.done, stopped.done]).toEqual([false, false]);
    expect(c.h.calls).not.toContain('iommufd.detach');
    c.h.release(iommuApi.dma);
    expect([running.done, stopped.done]).toEqual([true, true]);
  });
  test('a reset waits for it too, and clears registers and buffer', () => {
    const { c, dev } = boundBench(E1000E);
    c.pwrite(dev, CONFIG + 4, '0600');
    c.h.hold(iommuApi.dma);
    const running = startDma(c, dev, 0x100, 0x40000, 1);
    const args = { token: dev, cmd: uapi.VFIO_DEVICE_RESET.nr, arg: 0, segments: [], fds: [] };
    const resetting = c.h.start(sysApi.ioctl, args, c.address);
    expect(resetting.done).toBe(false);
    c.h.release(iommuApi.dma);
    expect([running.done, resetting.done]).toEqual([true, true]);
    expect(c.pread(dev, COUNT, 4)).toBe('00000000');
    expect(c.pread(dev, CONFIG + 4, 2)).toBe('0600');
  });
  test('the next owner sees nothing of it (I46)', () => {
    const { c, dev } = prepared();
    startDma(c, dev, 0x100, 0x40000, 1);
    c.poke(dev, 0x60, 1n);
    c.close(dev);
    const next = c.open();
    c.ioctl(next, uapi.VFIO_DEVICE_BIND_IOMMUFD, { iommufd: 3 }, { fds: [iommufdFd()] });
    c.pwrite(next, CONFIG + 4, '0600');
    startDma(c, next, 0x40000, 0x300, 3);
    expect([...c.h.world.memory.subarray(0x300, 0x310)]).toEqual(Array(16).fill(0));
    expect(c.pread(next, 0x24, 4)).toBe('00000000');
    expect(c.pread(next, CONFIG + 6, 2)).toBe('1000');
  });
});

test('RESET of a function without reset method is EINVAL and changes nothing (trace b060)', () => {
  const { c, dev } = boundBench(EDU);
  c.pwrite(dev, 4, '01000000');
  expect(c.plain(dev, uapi.VFIO_DEVICE_RESET.nr)).toBe('EINVAL');
  expect(c.pread(dev, 4, 4)).toBe('feffffff');
});

describe.each(['hot', 'fundamental'] as const)('config space in a %s reset of the endpoint', (phase) => {
  const { c, dev } = boundBench(EDU);
  const at = (register: number): number => CONFIG + register;
  beforeAll(() => void c.h.ask(deviceApi.endpointReset, { phase }, CONTAINER));

  test.each([
    ['the ids, which are virtual (trace p063)', 0, 4, '3412e811'],
    ['a window, which is virtual', 0x10, 4, '0000a0fd'],
    ['the command register (trace p062)', 4, 2, 'ENODEV'],
    ['more than the ids (trace p061)', 0, 8, 'ENODEV'],
    ['a capability', 0x42, 2, 'ENODEV'],
  ])('read: %s', (_what, register, length, answer) => expect(c.pread(dev, at(register), length)).toBe(answer));

  test.each([
    ['a window, which is virtual', 0x10, '000000c0', 4],
    ['the ids, which cannot be written', 0, 'ffffffff', 4],
    ['the command register', 4, '0600', 'ENODEV'],
  ])('write: %s', (_what, register, data, answer) => expect(c.pwrite(dev, at(register), data)).toBe(answer));

  test('all of it answers when the reset is over', () => {
    c.h.ask(deviceApi.endpointReset, { phase: 'over' }, CONTAINER);
    expect(c.pread(dev, at(0), 8)).toMatch(/^3412e811/);
  });
});
