/**
 * Kubernetes ResourceSlices (Dynamic Resource Allocation) to shapes and back.
 *
 * Read: `resource.k8s.io` v1 and v1beta1 ResourceSlices, and the ResourcePools of its first drafts; single documents, several,
 * or a list of them. Written: v1. Attributes may carry a domain (`dra.net/numaNode`); the last part decides:
 *
 * | attribute | becomes |
 * |---|---|
 * | `kind`, `type`, `sriovType`, else the driver's name | the kind: `pf` is a `nic`, names with `gpu` or `nvidia` are a `gpu` |
 * | `numaNode`, `numa` | the NUMA node |
 * | `pcieSwitch`, else `pcieRoot`, `pcie_root` | the switch |
 * | `iommuGroup` | the group; without one the device is alone |
 * | `nvlinkDomain` | the NVLink domain |
 * | `pf` | VFs of one PF become one slot |
 *
 * Partitions of a GPU (MIG) are ways to use a GPU that is there already, and are left out.
 */
import { stringify } from 'yaml';
import { InputError, quote } from './input-error.js';
import type { HostList } from './import-nodes.js';
import { LIMITS } from './limits.js';
import { MILLI, Names, type Shape, type Slot } from './shape.js';
import { record, yamlObjects } from './yaml-objects.js';

const API = 'resource.k8s.io/v1';
const DOMAIN = 'vfiolab.example';

type Value = string | number | boolean;
interface Device {
  readonly name: string;
  readonly driver: string;
  readonly attributes: ReadonlyMap<string, Value>;
}

/** Does a text look like Kubernetes objects and not like CSV? */
export const isYaml = (text: string): boolean => /^\s*(#[^\n]*\n\s*)*(-\s+)?(---\s+)?apiVersion:/.test(text);

/** The devices of each node, as hosts whose processors and memory nobody told. Throws InputError with file and line. */
export function importSlices(text: string, file: string, kinds: Names): HostList {
  const nodes = new Map<string, Device[]>();
  for (const { object, line } of yamlObjects(text, file)) {
    const kind = object['kind'];
    if (kind !== 'ResourceSlice' && kind !== 'ResourcePool' && kind !== 'DevicePool') continue;
    readSlice(object, file, line, nodes);
  }
  if (nodes.size === 0) throw new InputError('has no ResourceSlice', { file });
  const shapes: Shape[] = [];
  const known = new Map<string, number>();
  const shapeOf = [...nodes].map(([node, devices]) => {
    const slots = slotsOf(devices, file, node, kinds);
    const key = JSON.stringify(slots);
    const index = known.get(key) ?? shapes.length;
    known.set(key, index);
    if (index === shapes.length) shapes.push(shapeOfSlots(slots, devices, kinds));
    return index;
  });
  if (shapes.length > LIMITS.shapes) throw new InputError(`has more than ${LIMITS.shapes} kinds of host`, { file });
  return { shapes, names: [...nodes.keys()], shapeOf: Uint16Array.from(shapeOf) };
}

function readSlice(object: Record<string, unknown>, file: string, line: number, nodes: Map<string, Device[]>): void {
  const spec = record(object['spec']);
  const node = spec['nodeName'];
  const driver = spec['driver'] ?? spec['driverName'] ?? '';
  if (typeof node !== 'string' || node === '')
    throw new InputError('is missing', { file, line, field: 'spec.nodeName' });
  if (!Array.isArray(spec['devices'])) throw new InputError('is no list', { file, line, field: 'spec.devices' });
  const devices = nodes.get(node) ?? [];
  nodes.set(node, devices);
  if (nodes.size > LIMITS.hosts) throw new InputError(`more than ${LIMITS.hosts} nodes`, { file, line });
  const names = new Set(devices.map((each) => `${each.driver}/${each.name}`));
  const pool = spec['pool'];
  const prefix = record(object['metadata'])['name'];
  for (const [i, each] of (spec['devices'] as unknown[]).entries()) {
    const field = `spec.devices[${i}]`;
    const device = record(each);
    const name = device['name'];
    if (typeof name !== 'string' || name === '') throw new InputError('has no name', { file, line, field });
    // In drafts a pool's devices have names of their own.
    const full = pool === undefined && typeof prefix === 'string' ? `${prefix}/${name}` : name;
    const key = `${String(driver)}/${full}`;
    if (names.has(key)) throw new InputError(`${quote(name)} is there twice`, { file, line, field });
    names.add(key);
    devices.push({ name: full, driver: String(driver), attributes: attributesOf(device) });
  }
}

/** By the last part of their names. */
function attributesOf(device: Record<string, unknown>): Map<string, Value> {
  const found = new Map<string, Value>();
  const given = device['attributes'] ?? record(device['basic'])['attributes'];
  const entries = Array.isArray(given)
    ? given.map((each) => [record(each)['name'], each] as const)
    : Object.entries(record(given));
  for (const [name, value] of entries) {
    const short = String(name).replace(/^.*\//, '');
    const held = Object.entries(record(value)).find(([key]) => /^(string|int|bool|version)(Value)?$/.test(key))?.[1];
    if (typeof held === 'string' || typeof held === 'number' || typeof held === 'boolean') found.set(short, held);
  }
  return found;
}

function kindOf({ driver, attributes }: Device): string {
  const told = attributes.get('kind') ?? attributes.get('sriovType') ?? attributes.get('type');
  if (told !== undefined) return String(told).toLowerCase() === 'pf' ? 'nic' : String(told).toLowerCase();
  return /gpu|nvidia/i.test(`${driver} ${String(attributes.get('brand') ?? '')}`)
    ? 'gpu'
    : driver.split('.')[0]! || 'gpu';
}

/** Numbers for names: a whole number stands for itself. */
function slotsOf(devices: readonly Device[], file: string, node: string, kinds: Names): Slot[] {
  const switches = new Names();
  const links = new Names();
  const groups = new Names();
  const slots: Slot[] = [];
  const pools = new Map<string, number>();
  for (const { name, driver, attributes } of devices) {
    const kind = kindOf({ name, driver, attributes });
    if (attributes.has('mig-profile') || kind === 'mig') continue;
    const pool = kind === 'vf' ? `${name.replace(/\/[^/]*$/, '')} ${String(attributes.get('pf') ?? '')}` : name;
    const known = pools.get(pool);
    if (known !== undefined) {
      slots[known] = { ...slots[known]!, units: slots[known]!.units + 1 };
      continue;
    }
    pools.set(pool, slots.length);
    const numa = Number(attributes.get('numaNode') ?? attributes.get('numa') ?? 0);
    const place = { file, field: `${node}/${name}` };
    if (!Number.isInteger(numa) || numa < 0 || numa >= LIMITS.numaNodes)
      throw new InputError(`NUMA node ${quote(String(numa))} is not from 0 to ${LIMITS.numaNodes - 1}`, place);
    const above = attributes.get('pcieSwitch') ?? attributes.get('pcieRoot') ?? attributes.get('pcie_root') ?? '';
    const link = attributes.get('nvlinkDomain');
    slots.push({
      name,
      kind: kinds.id(kind),
      units: kind === 'vf' ? Number(attributes.get('vfs') ?? 1) : MILLI,
      group: groups.id(String(attributes.get('iommuGroup') ?? `alone ${name}`)),
      numa,
      switch: switches.id(String(above)),
      link: link === undefined ? -1 : links.id(String(link)),
    });
    if (slots.length > LIMITS.devices) throw new InputError(`has more than ${LIMITS.devices} devices`, place);
  }
  return slots;
}

function shapeOfSlots(slots: readonly Slot[], devices: readonly Device[], kinds: Names): Shape {
  const nodes = Math.max(0, ...slots.map(({ numa }) => numa)) + 1;
  const model = devices
    .map(({ attributes }) => attributes.get('productName') ?? attributes.get('product-name'))
    .find(Boolean);
  const counts = new Map<string, number>();
  for (const { kind } of slots) counts.set(kinds.names[kind]!, (counts.get(kinds.names[kind]!) ?? 0) + 1);
  const node = Math.floor(LIMITS.memoryMib / nodes);
  return {
    name: [...counts].map(([kind, count]) => `${kind} x${count}`).join(' '),
    model: model === undefined ? '' : String(model),
    cpuMilli: LIMITS.cpuMilli,
    memory: Array.from({ length: nodes }, () => node),
    hugepages: Array.from({ length: nodes }, () => 0),
    memlock: Number.MAX_SAFE_INTEGER,
    slots,
  };
}

/** A ResourceSlice a host, as YAML documents. */
export function* exportSlices({ names, shapes, shapeOf }: HostList, kinds: Names): Generator<string> {
  for (const [host, node] of names.entries()) {
    const { slots, model } = shapes[shapeOf[host]!]!;
    const devices = slots.map((slot, i) => deviceOf(slot, i, model, kinds));
    const spec = {
      driver: DOMAIN,
      nodeName: node,
      pool: { name: node, generation: 1, resourceSliceCount: 1 },
      devices,
    };
    const slice = { apiVersion: API, kind: 'ResourceSlice', metadata: { name: `${node}-${DOMAIN}` }, spec };
    yield `---\n${stringify(slice)}`;
  }
}

function deviceOf(slot: Slot, i: number, model: string, kinds: Names): object {
  const kind = kinds.names[slot.kind]!;
  const attributes = {
    [`${DOMAIN}/kind`]: { string: kind },
    [`${DOMAIN}/address`]: { string: slot.name },
    [`${DOMAIN}/iommuGroup`]: { int: slot.group },
    [`${DOMAIN}/numaNode`]: { int: slot.numa },
    [`${DOMAIN}/pcieSwitch`]: { int: slot.switch },
    ...(slot.link >= 0 ? { [`${DOMAIN}/nvlinkDomain`]: { int: slot.link } } : {}),
    ...(kind === 'gpu' && model !== '' ? { [`${DOMAIN}/productName`]: { string: model } } : {}),
    ...(kind === 'vf' ? { [`${DOMAIN}/vfs`]: { int: slot.units } } : {}),
  };
  return { name: `${kind}-${i}`, attributes };
}
