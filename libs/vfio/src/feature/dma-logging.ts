/**
 * DMA_LOGGING_START, _STOP and _REPORT: the function tells which memory it wrote to (semantics D10).
 *
 * Rule: one log at a time; starting and stopping twice is EINVAL. The log counts pages of 4 KiB, whatever was asked for.
 */
import { DONE, type IoctlResult } from '@vfiolab/core';
import {
  copyIn,
  copyOut,
  decode,
  fail,
  ok,
  PAGE_SIZE,
  type Result,
  type StructOf,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature_dma_logging_control,
  vfio_device_feature_dma_logging_range,
  vfio_device_feature_dma_logging_report,
} from '@vfiolab/uapi';
import type { LoggedRange } from '../dma-log.js';
import { type Feature, type FeatureCall, readPayload, writePayload } from './feature.js';

/** Ranges of one log: as many as a page holds. */
export const MAX_LOG_RANGES = PAGE_SIZE / vfio_device_feature_dma_logging_range.size;

const U64_MAX = (1n << 64n) - 1n;

export const dmaLoggingStart: Feature = {
  operations: VFIO_DEVICE_FEATURE_SET,
  size: vfio_device_feature_dma_logging_control.size,
  act(c) {
    const control = readPayload(c, vfio_device_feature_dma_logging_control);
    if (!control.ok) return control;
    const { num_ranges, ranges: at, page_size } = control.value;
    if (num_ranges === 0) return fail('EINVAL');
    if (num_ranges > MAX_LOG_RANGES) return fail('E2BIG');
    const ranges = readRanges(c, at, num_ranges, page_size);
    if (!ranges.ok) return ranges;
    const { log } = c.file.device;
    if (!log.canStart) return fail('EINVAL');
    const told = writePayload(c, vfio_device_feature_dma_logging_control, {
      ...control.value,
      page_size: BigInt(PAGE_SIZE),
    });
    if (!told.ok) return told;
    log.start(ranges.value);
    return DONE;
  },
};

/** EFAULT; EINVAL: not of whole pages, empty, or overlapping; EOVERFLOW. In the order of the ranges. */
function readRanges(c: FeatureCall, at: bigint, count: number, pageSize: bigint): Result<LoggedRange[]> {
  const { size } = vfio_device_feature_dma_logging_range;
  const found: LoggedRange[] = [];
  for (let i = 0; i < count; i++) {
    const bytes = copyIn(c.user, at + BigInt(i * size), size);
    if (!bytes.ok) return bytes;
    const { iova, length } = decode(vfio_device_feature_dma_logging_range, bytes.value);
    const mask = (pageSize - 1n) & U64_MAX;
    if ((iova & mask) !== 0n || (length & mask) !== 0n) return fail('EINVAL');
    if (iova + length > U64_MAX) return fail('EOVERFLOW');
    const range = { start: iova, last: iova + length - 1n };
    if (length === 0n || found.some((each) => each.start <= range.last && range.start <= each.last))
      return fail('EINVAL');
    found.push(range);
  }
  return ok(found);
}

export const dmaLoggingStop: Feature = {
  operations: VFIO_DEVICE_FEATURE_SET,
  size: 0,
  act({ file: { device } }) {
    if (!device.log.on) return fail('EINVAL');
    device.log.stop();
    return DONE;
  },
};

export const dmaLoggingReport: Feature = {
  operations: VFIO_DEVICE_FEATURE_GET,
  size: vfio_device_feature_dma_logging_report.size,
  act(c) {
    const report = readPayload(c, vfio_device_feature_dma_logging_report);
    if (!report.ok) return report;
    const { page_size, iova, length } = report.value;
    if (page_size < BigInt(PAGE_SIZE) || (page_size & (page_size - 1n)) !== 0n) return fail('EINVAL');
    if (iova + length > U64_MAX) return fail('EOVERFLOW');
    if (length === 0n || !c.file.device.log.on) return fail('EINVAL');
    return addBits(c, report.value);
  },
};

/** Sets the bit of every page that was written to; bits of the client's stay. EFAULT: the log is as it was. */
function addBits(c: FeatureCall, report: StructOf<typeof vfio_device_feature_dma_logging_report>): IoctlResult {
  const { page_size, iova, length, bitmap } = report;
  const bits = (length + page_size - 1n) / page_size;
  const words = Number((bits + 63n) / 64n);
  const bytes = copyIn(c.user, bitmap, 8 * words);
  if (!bytes.ok) return bytes;
  const map = bytes.value.slice();
  const unchanged = copyOut(c.user, bitmap, map);
  if (!unchanged.ok) return unchanged;
  for (const { start, last } of c.file.device.log.take(iova, iova + length - 1n)) {
    const end = Number((last - iova) / page_size);
    for (let bit = Number((start - iova) / page_size); bit <= end; bit++) map[bit >> 3]! |= 1 << (bit & 7);
  }
  copyOut(c.user, bitmap, map);
  return DONE;
}
