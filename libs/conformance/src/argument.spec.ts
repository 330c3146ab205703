import { MAX_BUFFER, plainArgument, structArgument } from './argument.js';
import { namerOf, outputs } from './outputs.js';
import { requestNamed, type TraceStruct } from './structs.js';
import type { JsonObject } from './trace.js';
import { hexOf, Variables } from './values.js';

const variables = new Variables();
variables.set('ioas', 3n);

const lay = (req: string, step: JsonObject) => {
  const request = requestNamed(req)!;
  return structArgument({ ...request, struct: request.struct as TraceStruct }, step, variables);
};
const bytesAt = (argument: ReturnType<typeof lay>, i: number): string => hexOf(argument.buffers[i]!.segment.bytes);

describe('the layout of an argument', () => {
  it('fills in the length, and takes fields in any form', () => {
    const argument = lay('IOMMU_DESTROY', { in: { id: '$ioas' } });
    expect(bytesAt(argument, 0)).toBe('0800000003000000');
    expect(argument.inputs).toEqual(['ioas']);
  });

  it('a length that is given stays, however wrong', () => {
    expect(bytesAt(lay('IOMMU_DESTROY', { in: { size: -1 } }), 0)).toBe('ffffffff00000000');
  });

  it('every buffer ends where nothing is mapped, rounded up to 8 bytes', () => {
    const [head, ranges] = lay('IOMMU_IOAS_IOVA_RANGES', {
      in: { allowed_iovas: { array: 'iommu_iova_range', cap: 2 } },
    }).buffers;
    const ends = [head, ranges].map((each) => each!.segment.va + each!.segment.bytes.length);
    expect(ends.map((end) => end % 0x1000_0000)).toEqual([0, 0]);
    expect(ranges!.segment.bytes.length).toBe(32);
    expect(lay('VFIO_DEVICE_GET_PCI_HOT_RESET_INFO', { in: {} }).buffers[0]!.segment.bytes.length).toBe(16);
  });

  it('a tail lies right behind the struct and counts for the length', () => {
    const argument = lay('VFIO_DEVICE_SET_IRQS', { in: { count: 1 }, tail: { array: 's32', items: [-1] } });
    expect(bytesAt(argument, 0)).toBe('18000000' + '00000000'.repeat(3) + '01000000' + 'ffffffff');
  });

  it('self-test ops carry their number', () => {
    expect(bytesAt(lay('IOMMU_TEST_OP_MOCK_DOMAIN', { in: {} }), 0).slice(0, 16)).toBe('4800000002000000');
  });

  it('a text ends with a NUL', () => {
    expect(hexOf(plainArgument('ab', variables, true).buffers[0]!.segment.bytes.subarray(0, 3))).toBe('616200');
  });

  it('a buffer above the bound is refused', () => {
    expect(() => plainArgument({ zero: MAX_BUFFER + 1 }, variables, false)).toThrow('is the most');
    expect(plainArgument({ zero: MAX_BUFFER }, variables, false).buffers).toHaveLength(1);
  });

  it.each([
    ['a field that is not there', { in: { nope: 1 } }, 'has no field nope'],
    ['a struct that is not there', { in: {}, tail: { struct: 'nope' } }, 'there is no struct "nope"'],
  ])('%s is an error of the trace', (_name, step, message) => {
    expect(() => lay('IOMMU_DESTROY', step)).toThrow(message);
  });
});

describe('what a call wrote', () => {
  const ranges = () =>
    lay('IOMMU_IOAS_IOVA_RANGES', {
      in: { ioas_id: '$ioas', num_iovas: 2, allowed_iovas: { array: 'iommu_iova_range', cap: 2 } },
    });
  const print = (argument: ReturnType<typeof lay>, succeeded: boolean) =>
    outputs(argument, succeeded, namerOf(new Map(), argument.inputs, variables, succeeded));

  it('after success: every output, though it is as before', () => {
    expect(print(ranges(), true)).toEqual({ num_iovas: 2, out_iova_alignment: '0x0' });
  });

  it('after failure: only what changed', () => {
    const argument = ranges();
    expect(print(argument, false)).toBeUndefined();
    argument.buffers[0]!.segment.bytes[8] = 5;
    expect(print(argument, false)).toEqual({ num_iovas: 5 });
  });

  it('arrays are cut after the last element that changed', () => {
    const argument = ranges();
    argument.buffers[1]!.segment.bytes[0] = 1;
    expect(print(argument, true)).toMatchObject({ allowed_iovas: [{ start: '0x1', last: '0x0' }] });
  });

  it('an id that a variable of the step holds is that variable', () => {
    const argument = lay('VFIO_DEVICE_ATTACH_IOMMUFD_PT', { in: { pt_id: '$ioas' } });
    expect(print(argument, true)).toEqual({ pt_id: '$ioas' });
    argument.buffers[0]!.segment.bytes[8] = 9;
    expect(print(argument, true)).toEqual({ pt_id: 9 });
  });

  it('an fd that nobody holds is printed as fd', () => {
    const argument = lay('IOMMU_FAULT_QUEUE_ALLOC', { in: {} });
    argument.buffers[0]!.segment.bytes[12] = 4;
    expect(print(argument, true)).toEqual({ out_fault_id: 0, out_fault_fd: 'fd' });
  });

  it('capabilities are decoded along their chain', () => {
    const argument = lay('VFIO_DEVICE_GET_REGION_INFO', { in: {}, tail: { zero: 16 } });
    const { bytes } = argument.buffers[0]!.segment;
    bytes[12] = 32;
    bytes.set([3, 0, 1, 0], 32);
    expect(print(argument, true)).toMatchObject({
      cap_offset: 32,
      caps: [{ id: 3, version: 1, offset: 32, next: 0, name: 'MSIX_MAPPABLE' }],
    });
  });

  it('a chain that leaves the buffer is printed as bytes', () => {
    const argument = lay('VFIO_DEVICE_GET_REGION_INFO', { in: {}, tail: { zero: 8 } });
    argument.buffers[0]!.segment.bytes[12] = 200;
    argument.buffers[0]!.segment.bytes[33] = 7;
    expect(print(argument, true)).toMatchObject({ tail: { hex: '0007000000000000' } });
  });
});
