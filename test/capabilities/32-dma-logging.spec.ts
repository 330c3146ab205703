import {
  encode,
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
} from '@vfiolab/uapi';
import * as uapi from '@vfiolab/uapi';
import { type Device, Host, NOTHING } from './support/passthrough.js';

const START = uapi.VFIO_DEVICE_FEATURE_SET | uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START;
const STOP = uapi.VFIO_DEVICE_FEATURE_SET | uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP;
const REPORT = uapi.VFIO_DEVICE_FEATURE_GET | uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
const PAGE = 4096n;
const RANGE = vfio_device_feature_dma_logging_range;

async function start(d: Device, ranges: readonly (readonly [bigint, bigint])[]): Promise<string | undefined> {
  const va = await d.p.must(d.p.process.mmap(8192));
  const bytes = new Uint8Array(ranges.length * RANGE.size);
  ranges.forEach(([iova, length], i) => bytes.set(encode(RANGE, { iova, length }), i * RANGE.size));
  if (bytes.length > 0) await d.p.must(d.p.process.write(va, bytes));
  const control = { page_size: PAGE, num_ranges: ranges.length, ranges: BigInt(va) };
  return (await d.featureWith(START, vfio_device_feature_dma_logging_control, control)).errno;
}

/** The bitmap's first bytes; the client's own bits stay. */
async function report(d: Device, iova: bigint, pages: number, page_size = PAGE, before = 0): Promise<number | string> {
  const bitmap = await d.p.must(d.p.process.mmap(4096));
  await d.p.must(d.p.process.write(bitmap, Uint8Array.of(before)));
  const asked = { iova, length: BigInt(pages) * PAGE, page_size, bitmap: BigInt(bitmap) };
  const { errno } = await d.featureWith(REPORT, vfio_device_feature_dma_logging_report, asked);
  return errno ?? (await d.p.must(d.p.process.read(bitmap, 4))).reduceRight((v, b) => v * 256 + b, 0);
}

const separate = (count: number) => Array.from({ length: count }, (_, i) => [BigInt(2 * i) * PAGE, PAGE] as const);

it('32: a function logs what it writes to; a report gives the pages and clears them', async () => {
  const host = await Host.boot({ model: 'migratable-engine' });
  const p = await host.program('vmm');
  const d = await p.device();
  await p.mapped(0x10000n, 16 * 4096);
  expect(await report(d, 0x10000n, 8)).toBe('EINVAL');
  expect((await d.feature(STOP)).errno).toBe('EINVAL');
  expect(
    await start(d, [
      [0x10000n, 4n * PAGE],
      [0x16000n, 2n * PAGE],
    ]),
  ).toBeUndefined();
  expect(await start(d, [[0x10000n, PAGE]])).toBe('EINVAL');

  await d.store(0x10000n, 1);
  await d.store(0x11fffn, 2);
  await d.fetch(0x13000n, 100);
  await d.store(0x14000n, 100);
  await d.store(0x17000n, 100);
  await d.store(0x90000n, 100);
  expect(await report(d, 0x11000n, 2, PAGE, 0b1000)).toBe(0b1011);
  expect(await report(d, 0x10000n, 16)).toBe(0b1000_0001);
  expect(await report(d, 0x10000n, 16)).toBe(0);
  await d.store(0x12000n, 1);
  expect(await report(d, 0x10000n, 16, 4n * PAGE)).toBe(1);
  expect((await d.feature(STOP)).errno).toBeUndefined();
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('32: 256 ranges are taken, 257 are E2BIG, and wrong ones change nothing', async () => {
  const host = await Host.boot({ model: 'migratable-engine' });
  const p = await host.program('vmm');
  const d = await p.device();
  expect(await start(d, separate(257))).toBe('E2BIG');
  expect(await start(d, [])).toBe('EINVAL');
  expect(await start(d, [[0x10800n, PAGE]])).toBe('EINVAL');
  expect(
    await start(d, [
      [0x10000n, 2n * PAGE],
      [0x11000n, PAGE],
    ]),
  ).toBe('EINVAL');
  expect(await start(d, [[-PAGE & (2n ** 64n - 1n), PAGE]])).toBe('EOVERFLOW');
  expect(await start(d, separate(256))).toBeUndefined();
  expect(await report(d, 0n, 1, 2048n)).toBe('EINVAL');
  expect(await report(d, 0n, 1, 12288n)).toBe('EINVAL');
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('32: a function that logs nothing has no such feature', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  expect(await start(await p.device(), separate(1))).toBe('ENOTTY');
});
