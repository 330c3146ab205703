/**
 * DMA_BUF: exports slices of a BAR as a dma-buf, whose fd is the ioctl's result (semantics D11, traces d005, d007, d012).
 *
 * Rule: nothing is exported unless all of it is there. While the function's windows do not answer it is born revoked.
 */
import { call, DONE, lockWrite, type Op, PAGES, pagesApi } from '@vfiolab/core';
import {
  copyIn,
  decode,
  fail,
  ok,
  PAGE_SIZE,
  type Result,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_PCI_BAR5_REGION_INDEX,
  vfio_device_feature,
  vfio_device_feature_dma_buf,
  vfio_region_dma_range,
} from '@vfiolab/uapi';
import { type DmaRange, DmabufFile } from '../dmabuf.js';
import type { Bar } from '../function-image.js';
import type { VfioDevice } from '../vfio-device.js';
import { type Feature, type FeatureCall, readPayload } from './feature.js';

/** Ranges of one dma-buf. The kernel has no bound but memory; one page of them is far more than importers take. */
export const MAX_RANGES = 256;

export const dmaBuf: Feature<VfioDevice> = {
  operations: VFIO_DEVICE_FEATURE_GET,
  size: vfio_device_feature_dma_buf.size,
  *act(c) {
    const asked = readPayload(c, vfio_device_feature_dma_buf);
    if (!asked.ok) return asked;
    const { region_index, flags, nr_ranges } = asked.value;
    const { device, made } = c.file;
    if (nr_ranges === 0 || flags !== 0) return fail('EINVAL');
    const bar = region_index <= VFIO_PCI_BAR5_REGION_INDEX ? device.bar(region_index) : undefined;
    if (!bar) return fail('ENODEV');
    const ranges = readRanges(c, nr_ranges, bar);
    if (!ranges.ok) return ranges;
    yield* lockWrite(device.memory);
    const frame = yield* frameOf(device, bar);
    if (!frame.ok) return frame;
    const file = made.open(c.req, (id) => new DmabufFile(id, frame.value, ranges.value));
    if (!file.ok) return file;
    c.returnFile(file.value);
    return DONE;
  },
};

/** Whole pages inside a memory BAR. EFAULT, EINVAL; ENOMEM: too many. */
function readRanges(c: FeatureCall<VfioDevice>, count: number, bar: Bar): Result<DmaRange[]> {
  if (count > MAX_RANGES) return fail('ENOMEM');
  const at = c.arg + BigInt(vfio_device_feature.size + vfio_device_feature_dma_buf.size);
  const bytes = copyIn(c.user, at, count * vfio_region_dma_range.size);
  if (!bytes.ok) return bytes;
  const ranges: DmaRange[] = [];
  for (let i = 0; i < count; i++) {
    const { offset, length } = decode(vfio_region_dma_range, bytes.value.subarray(i * vfio_region_dma_range.size));
    const whole = ((offset | length) & BigInt(PAGE_SIZE - 1)) === 0n;
    if (length === 0n || !whole || bar.io || offset + length > BigInt(bar.size)) return fail('EINVAL');
    ranges.push({ offset: Number(offset), length: Number(length) });
  }
  return ok(ranges);
}

/** The frame of the BAR's first page; asked for once while the function is open. ENOMEM: there are none left. */
function* frameOf(device: VfioDevice, { index, size }: Bar): Op<Result<number>> {
  const known = device.lent.get(index);
  if (known !== undefined) return ok(known);
  const window = { bdf: device.facts.bdf, region: index, pages: size / PAGE_SIZE };
  const frames = yield* call(PAGES, pagesApi.deviceFrames, window);
  if (!frames.ok) return frames;
  device.lent.set(index, frames.value.frame);
  return ok(frames.value.frame);
}
