import { MAX_DMA, type Segment } from '@vfiolab/core';
import {
  encode,
  fail,
  iommu_fault_alloc,
  iommu_ioas_iova_ranges,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_IOAS_IOVA_RANGES,
  ok,
  VFIO_CHECK_EXTENSION,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_SET_CONTAINER,
  vfio_irq_set,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
} from '@vfiolab/uapi';
import { bringArgument, capabilities, definitionOn, readMemory } from './argument-memory.js';
import { SCRATCH } from './arguments.js';
import type { Link } from './link.js';

const PAGE = 4096;
const WRITABLE = 0x10000;
const READ_ONLY = 0x20000;

/** A process with one writable and one read-only page, and nothing behind either. */
function memory(): { link: Link; reads: number[]; writes: number } {
  const seen = { reads: [] as number[], writes: 0 };
  const inside = (va: number, length: number, page: number): boolean => va >= page && va + length <= page + PAGE;
  const call = (
    _to: string,
    method: { name: string },
    { va, length, data }: { va: number; length: number; data: Uint8Array },
  ) => {
    if (method.name === 'pages.memWrite') {
      seen.writes++;
      return Promise.resolve(inside(va, data.length, WRITABLE) ? ok(undefined) : fail('EFAULT'));
    }
    seen.reads.push(length);
    const there = inside(va, length, WRITABLE) || inside(va, length, READ_ONLY);
    return Promise.resolve(there ? ok(new Uint8Array(length)) : fail('EFAULT'));
  };
  return Object.assign(seen, { link: { call } as unknown as Link });
}

const scratch = (bytes: Uint8Array): Segment[] => [{ va: SCRATCH, writable: true, bytes }];

describe('what a request means depends on the file', () => {
  it.each([
    ['iommufd', 0x3b85, 'IOMMU_IOAS_MAP'],
    ['iommufd', 0x3b71, 'VFIO_IOMMU_MAP_DMA'],
    ['device', 0x3b71, 'VFIO_DEVICE_PCI_HOT_RESET'],
    ['device', 0x3b85, undefined],
    ['eventfd', 0x3b71, undefined],
  ])('%s %i', (kind, request, name) => expect(definitionOn(kind, request)?.name).toBe(name));
});

describe('memory that the argument points at', () => {
  const ranges = (at: number, count: number) =>
    encode(iommu_ioas_iova_ranges, { size: 32, num_iovas: count, allowed_iovas: BigInt(at) });
  const bring = async (at: number, count: number) => {
    const { link } = memory();
    const { segments } = await bringArgument(link, IOMMU_IOAS_IOVA_RANGES, SCRATCH, scratch(ranges(at, count)));
    return segments.slice(1).map(({ va, writable, bytes }) => ({ va, writable, length: bytes.length }));
  };

  it.each([
    ['is brought', WRITABLE, 4, [{ va: WRITABLE, writable: true, length: 64 }]],
    ['as far as it goes', WRITABLE + 0xf00, 1000, [{ va: WRITABLE + 0xf00, writable: true, length: 256 }]],
    ['and known to be read-only', READ_ONLY, 1, [{ va: READ_ONLY, writable: false, length: 16 }]],
    ['unless there is none', 0x1000, 1, []],
    ['unless nothing of it is wanted', WRITABLE, 0, []],
    ['unless no address space is that large', Number(2n ** 60n), 1, []],
  ])('%s', async (_name, at, count, expected) => expect(await bring(at, count)).toEqual(expected));

  it('comes in pieces that fit a message', async () => {
    const { link, reads } = memory();
    await readMemory(link, WRITABLE, PAGE);
    await readMemory(link, WRITABLE, 2 * MAX_DMA);
    expect(reads).toEqual([PAGE, MAX_DMA]);
  });
});

describe('arguments that are no struct', () => {
  it.each([
    ['a number is no address', VFIO_CHECK_EXTENSION, WRITABLE, []],
    ['a text ends with its page', VFIO_GROUP_GET_DEVICE_FD, WRITABLE + 0xff0, [16]],
    ['an fd has 4 bytes', VFIO_GROUP_SET_CONTAINER, READ_ONLY, [4]],
    ['nothing is mapped there', VFIO_GROUP_SET_CONTAINER, 0, []],
  ])('%s', async (_name, def, arg, lengths) => {
    const { segments } = await bringArgument(memory().link, def, arg, []);
    expect(segments.map(({ bytes }) => bytes.length)).toEqual(lengths);
  });
});

describe('fds of an argument', () => {
  it('those that go in are found in the tail too', async () => {
    const bytes = new Uint8Array(28);
    const flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    encode(vfio_irq_set, { argsz: 28, flags, count: 2 }, bytes);
    bytes.set([7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], 20);
    const found = await bringArgument(memory().link, VFIO_DEVICE_SET_IRQS, SCRATCH, scratch(bytes));
    expect(found.fdNumbers).toEqual([7, -1]);
  });

  it('one that comes out has its place', async () => {
    const bytes = encode(iommu_fault_alloc, { size: 16 });
    const found = await bringArgument(memory().link, IOMMU_FAULT_QUEUE_ALLOC, SCRATCH, scratch(bytes));
    expect(found).toMatchObject({ returnsFile: true, fdAt: 12 });
  });

  it('go out as capabilities, each once; numbers without a file are left out', () => {
    const fileOf = (fd: number) => (fd === 7 ? { token: 't', owner: 'device:0000:65:00_0' } : undefined);
    expect(capabilities([7, -1, 7], fileOf)).toEqual([{ fd: 7, token: 't', owner: 'device:0000:65:00_0' }]);
  });
});
