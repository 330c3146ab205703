/** Capability 11: a user resets the function that it has, and nothing else (semantics D6.1, D6.2; trace b060). */
import { DMA_RUN, DMA_TO_MEMORY, REG_DMA_COMMAND, REG_DMA_DESTINATION, REG_LIVENESS } from '@vfiolab/devices';
import { VFIO_DEVICE_GET_INFO, VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { BDFS, COMMAND, CONFIG, type Device, Host, NOTHING, type Program } from './support/passthrough.js';

const [MSIX, BAR0] = [2, CONFIG + 0x10];
const IOVA = 0x100000n;
const RESET_FLAG = 1;

const reset = async (p: Program, fd: number) =>
  (await p.host.run(p.process.ioctlPlain(fd, VFIO_DEVICE_RESET))).errno ?? 'reset';
const resets = async (p: Program, fd: number) =>
  ((await p.ioctl(fd, VFIO_DEVICE_GET_INFO, { argsz: 16 })).flags & RESET_FLAG) !== 0;

/** Config space of a function that nothing can reset: no PCI Express, no AF, and power management that keeps state in D3. */
function withoutReset(): string {
  const config = new Uint8Array(256);
  const view = new DataView(config.buffer);
  view.setUint32(0, 0x11e81234, true);
  view.setUint16(6, 0x0010, true);
  view.setUint32(8, 0x00ff0010, true);
  config[0x34] = 0x40;
  view.setUint32(0x40, 0x00020001, true);
  view.setUint16(0x44, 0x0008, true);
  return Buffer.from(config).toString('hex');
}

it('11: RESET: EINVAL if flag absent', async () => {
  const host = await Host.boot({ config: withoutReset() });
  const p = await host.program('vmm');
  const d = await p.device();
  await d.write(REG_LIVENESS, 0xf0n);
  expect([await resets(p, d.fd), await reset(p, d.fd)]).toEqual([false, 'EINVAL']);
  expect(await d.read(REG_LIVENESS)).toBe(0xffffff0fn);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('11: DMA stops, BARs restored, mmaps fault again afterwards', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const [d, neighbour] = [await p.device(), await p.device(BDFS[1])];
  const va = await p.mapped(IOVA, 4096);
  const window = await p.must(p.process.mapDevice(d.fd, 0, 4096));
  const irq = await p.eventfd();
  expect(await d.setIrqs(MSIX, 0, [irq])).toBeUndefined();
  for (const each of [d, neighbour]) await each.write(REG_LIVENESS, 0xf0n);
  await d.write(BAR0, 0xfeb00000n);
  const registers = async () => [await d.read(BAR0), await d.read(COMMAND, 2)];
  const before = await registers();
  expect(before).toEqual([0xfeb00000n, 6n]);

  expect([await resets(p, d.fd), await reset(p, d.fd)]).toEqual([true, 'reset']);
  expect(await registers()).toEqual(before);
  expect(await d.read(REG_LIVENESS)).toBe(0xffffffffn & (await fresh(p, d)));
  expect(await neighbour.read(REG_LIVENESS)).toBe(0xffffff0fn);
  // The window of before shows the new state, without another mmap.
  expect(await p.must(p.process.load(window + REG_LIVENESS, 4))).toEqual(new Uint8Array(4));
  await p.must(p.process.store(window + REG_LIVENESS, 4, Uint8Array.of(0xff, 0xff, 0xff, 0xff)));
  expect(await d.read(REG_LIVENESS)).toBe(0n);
  // Mapping and attachment are where they were: the next DMA goes through.
  await p.must(p.process.write(va, Uint8Array.of(0x5a)));
  await d.fetch(IOVA, 1);
  await d.store(IOVA + 1n, 1);
  expect((await p.must(p.process.read(va, 2)))[1]).toBe(0x5a);
  await p.must(p.process.munmap(window, 4096));
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

/** The register after power-on. */
async function fresh(p: Program, d: Device): Promise<bigint> {
  expect(await reset(p, d.fd)).toBe('reset');
  return d.read(REG_LIVENESS);
}

it('11: DMA against a reset: it is whole, or nothing; after the answer none is under way', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const va = await p.mapped(IOVA, 8192);
  const run = new Uint8Array(BigUint64Array.of(BigInt(DMA_RUN | DMA_TO_MEMORY)).buffer);
  const seen = new Set<string>();
  for (let lag = 0; lag < 20; lag++) {
    await p.must(p.process.write(va, new Uint8Array(4096).fill(0xaa)));
    await d.store(IOVA + 4096n, 4096);
    await d.write(REG_DMA_DESTINATION, IOVA, 8);
    const sleep = (ms: number) => p.process.link.ports.sleep(ms);
    const dma = sleep(0.5).then(() => p.process.pwrite(d.fd, REG_DMA_COMMAND, run));
    const done = sleep(lag * 0.05).then(() => p.process.ioctlPlain(d.fd, VFIO_DEVICE_RESET));
    const [started, answered] = await host.host.run(Promise.all([dma, done]));
    expect([started.ok, answered.errno]).toEqual([true, undefined]);
    const bytes = new Set(await p.must(p.process.read(va, 4096)));
    expect(bytes.size).toBe(1);
    seen.add([...bytes].join());
    expect((await d.read(REG_DMA_COMMAND, 8)) & BigInt(DMA_RUN)).toBe(0n);
  }
  expect(seen).toEqual(new Set(['0', '170']));
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
