/**
 * The vfio-user protocol on the wire, version 0.0: header, commands and the fixed parts of their payloads.
 *
 * Words: a *command* asks, a *reply* answers it under the same id; ids belong to who sends the command.
 * Rule: an error reply is a header alone. Everything is little endian.
 */
import { struct, u16, u32, u64 } from '@vfiolab/uapi';

export const HEADER_BYTES = 16;

export const VERSION = 1;
export const DMA_MAP = 2;
export const DMA_UNMAP = 3;
export const DEVICE_GET_INFO = 4;
export const DEVICE_GET_REGION_INFO = 5;
export const DEVICE_GET_REGION_IO_FDS = 6;
export const DEVICE_GET_IRQ_INFO = 7;
export const DEVICE_SET_IRQS = 8;
export const REGION_READ = 9;
export const REGION_WRITE = 10;
export const DMA_READ = 11;
export const DMA_WRITE = 12;
export const DEVICE_RESET = 13;
export const REGION_WRITE_MULTI = 15;
export const DEVICE_FEATURE = 16;
export const MIG_DATA_READ = 17;
export const MIG_DATA_WRITE = 18;

/** Bits of the header's flags. */
export const TYPE_MASK = 0xf;
export const TYPE_COMMAND = 0;
export const TYPE_REPLY = 1;
export const NO_REPLY = 0x10;
export const ERROR = 0x20;

export interface Header {
  readonly id: number;
  readonly command: number;
  /** Bytes of the whole message. */
  readonly size: number;
  readonly flags: number;
  /** Errno, of an error reply. */
  readonly error: number;
}

/** Hot: without a view of its own. */
export const u16At = (b: Uint8Array, at: number): number => b[at]! | (b[at + 1]! << 8);
export const u32At = (b: Uint8Array, at: number): number => (u16At(b, at) | (u16At(b, at + 2) << 16)) >>> 0;

export function putU16(b: Uint8Array, at: number, value: number): void {
  b[at] = value;
  b[at + 1] = value >>> 8;
}

export function putU32(b: Uint8Array, at: number, value: number): void {
  putU16(b, at, value);
  putU16(b, at + 2, value >>> 16);
}

/** `at`: where it begins. */
export const readHeader = (bytes: Uint8Array, at: number): Header => ({
  id: u16At(bytes, at),
  command: u16At(bytes, at + 2),
  size: u32At(bytes, at + 4),
  flags: u32At(bytes, at + 8),
  error: u32At(bytes, at + 12),
});

/** At the buffer's beginning. */
export function writeHeader(bytes: Uint8Array, { id, command, size, flags, error }: Header): void {
  putU16(bytes, 0, id);
  putU16(bytes, 2, command);
  putU32(bytes, 4, size);
  putU32(bytes, 8, flags);
  putU32(bytes, 12, error);
}

/** A message of the header's size with room for its payload. */
export function makeMessage(header: Header): Uint8Array {
  const bytes = new Uint8Array(header.size);
  writeHeader(bytes, header);
  return bytes;
}

export const vfio_user_version = struct('vfio_user_version', 4, { major: u16(0), minor: u16(2) });

/** Bits of `flags` of DMA_MAP. */
export const DMA_READABLE = 1;
export const DMA_WRITABLE = 2;

export const vfio_user_dma_map = struct('vfio_user_dma_map', 32, {
  argsz: u32(0),
  flags: u32(4),
  offset: u64(8),
  address: u64(16),
  size: u64(24),
});

/** Bits of `flags` of DMA_UNMAP. */
export const UNMAP_DIRTY_BITMAP = 1;
export const UNMAP_ALL = 2;

export const vfio_user_dma_unmap = struct('vfio_user_dma_unmap', 24, {
  argsz: u32(0),
  flags: u32(4),
  address: u64(8),
  size: u64(16),
});

/** Behind an unmap that asks for dirty pages, and before the bits in its reply: `size` in bytes. */
export const vfio_user_bitmap = struct('vfio_user_bitmap', 16, { pgsize: u64(0), size: u64(8) });

export const vfio_user_device_info = struct('vfio_user_device_info', 16, {
  argsz: u32(0),
  flags: u32(4),
  num_regions: u32(8),
  num_irqs: u32(12),
});

export const vfio_user_region_access = struct('vfio_user_region_access', 16, {
  offset: u64(0),
  region: u32(8),
  count: u32(12),
});

/** One write of REGION_WRITE_MULTI: up to 8 bytes. */
export const vfio_user_write = struct('vfio_user_write', 24, {
  offset: u64(0),
  region: u32(8),
  count: u32(12),
  data: u64(16),
});

export const vfio_user_dma_access = struct('vfio_user_dma_access', 16, { address: u64(0), count: u64(8) });

export const vfio_user_mig_data = struct('vfio_user_mig_data', 8, { argsz: u32(0), size: u32(4) });

export const vfio_user_logging_control = struct('vfio_user_logging_control', 16, {
  page_size: u64(0),
  num_ranges: u32(8),
  reserved: u32(12),
});
export const vfio_user_logging_report = struct('vfio_user_logging_report', 24, {
  iova: u64(0),
  length: u64(8),
  page_size: u64(16),
});
