/**
 * /dev/udmabuf (linux/udmabuf.h): a dma-buf over pages of memfds. No part of VFIO; it is here because IOMMU_IOAS_MAP_FILE takes
 * dma-bufs, and refuses these.
 *
 * The one rule: these structs carry no size word, so the length rules of VFIO and iommufd do not apply to them.
 */
import { flexible, struct, u32, u64 } from './codec.js';
import { ioctl } from './ioctl.js';
import { fdAt, range } from './metadata.js';

/** The fd is close-on-exec. */
export const UDMABUF_FLAGS_CLOEXEC = 1;
/** Entries of a list, and pages of one dma-buf: the driver's defaults. */
export const UDMABUF_LIST_LIMIT = 1024;
export const UDMABUF_PAGE_LIMIT = 16384;

export const udmabuf_create = struct('udmabuf_create', 24, {
  memfd: u32(0),
  flags: u32(4),
  offset: u64(8),
  size: u64(16),
});

export const UDMABUF_CREATE = ioctl({
  name: 'UDMABUF_CREATE',
  nr: 0x40187542,
  fd: 'udmabuf',
  struct: udmabuf_create,
  minSize: 24,
  fds: () => [fdAt(0, 'in')],
  returnsFd: () => true,
});

export const udmabuf_create_item = struct('udmabuf_create_item', 24, {
  memfd: u32(0),
  __pad: u32(4),
  offset: u64(8),
  size: u64(16),
});

export const udmabuf_create_list = struct(
  'udmabuf_create_list',
  8,
  {
    flags: u32(0),
    count: u32(4),
  },
  flexible('list', 8, udmabuf_create_item),
);

/** The same over several pieces, one behind the other. */
export const UDMABUF_CREATE_LIST = ioctl({
  name: 'UDMABUF_CREATE_LIST',
  nr: 0x40087543,
  fd: 'udmabuf',
  struct: udmabuf_create_list,
  minSize: 8,
  memory: ({ count }, { arg }) => [range('list', arg + 8n, count * udmabuf_create_item.size, 'in')],
  fds: ({ count }) =>
    Array.from({ length: Math.min(count, UDMABUF_LIST_LIMIT) }, (_, i) => fdAt(8 + i * udmabuf_create_item.size, 'in')),
  returnsFd: () => true,
});
