/**
 * The structs of traces: those of the uAPI, flattened to fields of 1, 2, 4 or 8 bytes, and how each field is printed.
 *
 * Words: an *output* is printed after every call that did not fail, other fields only when they changed; an *id* and an
 * *fd* are printed as the variable that holds them.
 * Rule: layouts come from @vfiolab/uapi. What traces name differently, or in the size of an older kernel, is listed here.
 */
import * as uapi from '@vfiolab/uapi';
import { type AnyStruct, iommu_test_cmd, IOMMU_TEST_ARM_OFFSET, iommuTestArms } from '@vfiolab/uapi';

export interface TraceField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly kind: 'number' | 'id' | 'fd';
  readonly output: boolean;
}

export interface TraceStruct {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly TraceField[];
}

/** Fields that calls set, beside those whose names begin with `out_`. */
const OUTPUTS: Readonly<Record<string, readonly string[]>> = {
  iommu_ioas_iova_ranges: ['num_iovas'],
  iommu_ioas_map: ['iova'],
  iommu_ioas_map_file: ['iova'],
  iommu_ioas_copy: ['dst_iova'],
  iommu_ioas_unmap: ['length'],
  iommu_option: ['val64'],
  iommu_vfio_ioas: ['ioas_id'],
  iommu_hw_info: ['data_len'],
  iommu_hwpt_invalidate: ['entry_num'],
  'iommu_test_cmd.PASID_ATTACH': ['pt_id'],
  'iommu_test_cmd.PASID_REPLACE': ['pt_id'],
  vfio_group_status: ['flags'],
  vfio_device_info: ['flags', 'num_regions', 'num_irqs', 'cap_offset'],
  vfio_region_info: ['flags', 'cap_offset', 'size', 'offset'],
  vfio_irq_info: ['flags', 'count'],
  vfio_pci_hot_reset_info: ['flags', 'count'],
  vfio_device_attach_iommufd_pt: ['pt_id'],
  vfio_device_attach_iommufd_pt_72: ['pt_id'],
  vfio_precopy_info: ['initial_bytes', 'dirty_bytes'],
  vfio_iommu_type1_info: ['argsz', 'flags', 'iova_pgsizes', 'cap_offset'],
  vfio_iommu_type1_dma_unmap: ['size'],
  vfio_iommu_spapr_tce_info: [
    'flags',
    'dma32_window_start',
    'dma32_window_size',
    'ddw_pgsizes',
    'ddw_max_dynamic_windows_supported',
    'ddw_levels',
  ],
  vfio_iommu_spapr_tce_create: ['start_addr'],
};

const IDS: ReadonlySet<string> = new Set([
  'out_ioas_id',
  'out_hwpt_id',
  'out_fault_id',
  'out_viommu_id',
  'out_vdevice_id',
  'out_veventq_id',
  'out_hw_queue_id',
  'out_stdev_id',
  'out_idev_id',
  'out_devid',
  'pt_id',
  'ioas_id',
]);
const FDS: ReadonlySet<string> = new Set([
  'fd',
  'iommufd',
  'data_fd',
  'dmabuf_fd',
  'memfd',
  'out_fault_fd',
  'out_veventq_fd',
  'out_access_fd',
]);

/** Names that traces have for fields of ours; `undefined`: not shown. */
const RENAMED: Readonly<Record<string, Readonly<Record<string, string | undefined>>>> = {
  iommu_hw_info: { in_data_type: undefined },
  vfio_pci_dependent_device: { group_id: 'group_or_devid', devid: undefined },
  vfio_iommu_type1_dirty_bitmap_get: {
    'bitmap.pgsize': 'pgsize',
    'bitmap.size': 'bsize',
    'bitmap.data': 'data',
  },
  vfio_iommu_spapr_tce_info: {
    'ddw.pgsizes': 'ddw_pgsizes',
    'ddw.max_dynamic_windows_supported': 'ddw_max_dynamic_windows_supported',
    'ddw.levels': 'ddw_levels',
  },
  vfio_eeh_pe_op: {
    'err.type': 'err_type',
    'err.func': 'err_func',
    'err.addr': 'err_addr',
    'err.mask': 'err_mask',
  },
};

/** Traces that do not say which kernel they want a struct of mean the older one's size; `_72` is the newer one's. */
const OLDER: Readonly<Record<string, number>> = {
  iommu_hwpt_selftest: 4,
  vfio_device_bind_iommufd: 16,
  vfio_device_attach_iommufd_pt: 12,
  vfio_device_detach_iommufd_pt: 8,
};

type Place = Pick<TraceField, 'name' | 'offset' | 'size'>;

/** Fields of a struct, nested structs and arrays taken apart. */
function flatten(layout: AnyStruct): Place[] {
  const sample = uapi.decode(layout, new Uint8Array(layout.size)) as Record<string, unknown>;
  return layout.entries.flatMap(([name, { offset, size }]): Place[] => {
    const value = sample[name];
    if (value instanceof Uint8Array) return parts(name, offset, size, 1);
    if (Array.isArray(value)) return parts(name, offset, size, size / value.length);
    if (typeof value === 'object') return nestedFields(layout, name, offset);
    return [{ name, offset, size }];
  });
}

const parts = (name: string, offset: number, size: number, width: number): Place[] =>
  Array.from({ length: size / width }, (_, i) => ({ name: `${name}[${i}]`, offset: offset + i * width, size: width }));

/** The members' places are found by setting one bit of each byte and seeing which member changes. */
function nestedFields(layout: AnyStruct, name: string, base: number): Place[] {
  const size = layout.fields[name]!.size;
  const places = new Map<string, { first: number; count: number }>();
  for (let at = 0; at < size; at++) {
    const bytes = new Uint8Array(layout.size);
    bytes[base + at] = 1;
    const inner = uapi.decode(layout, bytes)[name] as Record<string, number | bigint>;
    const member = Object.keys(inner).find((key) => Number(inner[key]) !== 0);
    if (member === undefined) continue;
    const known = places.get(member);
    if (known) known.count++;
    else places.set(member, { first: base + at, count: 1 });
  }
  return [...places].map(([member, { first, count }]) => ({ name: `${name}.${member}`, offset: first, size: count }));
}

function traceStruct(name: string, size: number, places: readonly Place[]): TraceStruct {
  const renamed = RENAMED[name] ?? {};
  const fields = places.flatMap((place): TraceField[] => {
    const shown = place.name in renamed ? renamed[place.name] : place.name;
    if (shown === undefined) return [];
    const output = shown.startsWith('out_') || (OUTPUTS[name]?.includes(shown) ?? false);
    return [{ ...place, name: shown, kind: IDS.has(shown) ? 'id' : FDS.has(shown) ? 'fd' : 'number', output }];
  });
  return { name, size, fields };
}

const cut = (name: string, places: readonly Place[], size: number): TraceStruct =>
  traceStruct(
    name,
    size,
    places.filter((place) => place.offset + place.size <= size),
  );

const u32Field = (name: string, offset: number): Place => ({ name, offset, size: 4 });
const u64Field = (name: string, offset: number): Place => ({ name, offset, size: 8 });

/** The head of a dma-buf request, and `count` ranges behind it. */
const dmaBufRequest = (count: number): TraceStruct =>
  traceStruct(`vfio_device_feature_dma_buf${count}`, 16 + 16 * count, [
    u32Field('region_index', 0),
    u32Field('open_flags', 4),
    u32Field('flags', 8),
    u32Field('nr_ranges', 12),
    ...Array.from({ length: count }, (_, i) => [
      u64Field(`offset${i}`, 16 + 16 * i),
      u64Field(`length${i}`, 24 + 16 * i),
    ]).flat(),
  ]);

/** Structs that the uAPI headers do not name. */
const OTHERS: readonly TraceStruct[] = [
  traceStruct('s32_fd', 4, [u32Field('fd', 0)]),
  traceStruct('vfio_bus_master', 4, [u32Field('op', 0)]),
  dmaBufRequest(0),
  dmaBufRequest(1),
  dmaBufRequest(2),
  ...[1, 2, 4, 8].map((size) => traceStruct(`u${8 * size}`, size, [{ name: 'value', offset: 0, size }])),
  traceStruct('s32', 4, [u32Field('value', 0)]),
];

/** A self-test op as one struct: the command's head, then its arm. */
function testStruct(op: number, arm: AnyStruct): TraceStruct {
  const head = flatten(iommu_test_cmd).filter(({ offset }) => offset < IOMMU_TEST_ARM_OFFSET);
  const taken = new Set(head.map(({ name }) => name));
  const rest = flatten(arm).map((place) => ({
    ...place,
    name: taken.has(place.name) ? `${place.name}2` : place.name,
    offset: place.offset + IOMMU_TEST_ARM_OFFSET,
  }));
  return traceStruct(`iommu_test_cmd.${testOpName(op)}`, iommu_test_cmd.size, [...head, ...rest]);
}

const PREFIX = 'IOMMU_TEST_OP_';
const testOps = new Map(
  Object.entries(uapi).flatMap(([name, op]) => (name.startsWith(PREFIX) ? [[name, op as number] as const] : [])),
);
const testOpName = (op: number): string => [...testOps].find(([, number]) => number === op)![0].slice(PREFIX.length);

const isStruct = (value: unknown): value is AnyStruct =>
  typeof value === 'object' && value !== null && 'fields' in value && 'size' in value;

function allStructs(): Map<string, TraceStruct> {
  const found = new Map<string, TraceStruct>();
  const add = (struct: TraceStruct): void => void found.set(struct.name, struct);
  for (const value of Object.values(uapi)) {
    if (!isStruct(value)) continue;
    const places = flatten(value);
    const older = OLDER[value.name];
    add(older === undefined ? traceStruct(value.name, value.size, places) : cut(value.name, places, older));
    if (older !== undefined) add(traceStruct(`${value.name}_72`, value.size, places));
  }
  for (const [op, arm] of iommuTestArms) add(testStruct(op, arm));
  for (const struct of OTHERS) add(struct);
  return found;
}

const structs = allStructs();
export const structNamed = (name: string): TraceStruct | undefined => structs.get(name);

/** What a step's `req` asks for. */
export interface TraceRequest {
  readonly number: number;
  /** Undefined: the argument is a number, a text or nothing. */
  readonly struct: TraceStruct | undefined;
  /** The op of a self-test request. */
  readonly op: number | undefined;
}

/** Of drivers beside VFIO and iommufd. */
const elsewhere: ReadonlyMap<string, uapi.AnyIoctlDef> = new Map(Object.entries(uapi.udmabufIoctls));

/** A name of the uAPI, of a self-test op, or a raw number. Undefined: no such request. */
export function requestNamed(req: string): TraceRequest | undefined {
  if (/^0x[0-9a-f]+$/i.test(req)) return { number: Number(req), struct: undefined, op: undefined };
  const op = testOps.get(req);
  if (op !== undefined) return { number: 0x3ba0, struct: structNamed(`iommu_test_cmd.${testOpName(op)}`), op };
  const [name, kernel] = req.split('@') as [string, string?];
  const def = uapi.ioctlsByName.get(name) ?? elsewhere.get(name);
  if (!def) return undefined;
  if (def.kind === 'struct') {
    const structName = kernel === undefined ? def.struct.name : `${def.struct.name}_72`;
    return { number: def.nr, struct: structNamed(structName), op: undefined };
  }
  return { number: def.nr, struct: def.arg === 's32' ? structNamed('s32_fd') : undefined, op: undefined };
}
