/**
 * Hosts from a node list.
 *
 * Columns as in Alibaba's openb (`sn,cpu_milli,memory_mib,gpu,model`) or its spot trace (`node_name,cpu_num,
 * gpu_capacity_num,gpu_model`). More columns make a shape richer; each may be missing:
 *
 * | column | |
 * |---|---|
 * | `machine` | a real machine that has the devices; the next four are not used then |
 * | `devices` | further devices as `nic*2+vf*1:16`: kind, count, and units of each (VFs of one PF; default 1000) |
 * | `numa_nodes` | devices and memory are spread evenly over them; default 1 |
 * | `per_group` `per_switch` | neighbouring devices of one kind that share an IOMMU group, a PCIe switch; default 1, all of a NUMA node |
 * | `nvswitch` | 1: its GPUs are on one NVSwitch fabric, which can be divided into 1, 2, 4, ... neighbours |
 * | `hugepages_mib` `memlock_mib` | of the memory, in huge pages; what one process may lock |
 */
import { readCsv, type Row } from './csv.js';
import { InputError, quote } from './input-error.js';
import { LIMITS } from './limits.js';
import { readDevices } from './device-list.js';
import { evenSlots, fabricPartitions, GPU, MILLI, type Names, type Shape } from './shape.js';

export interface HostList {
  readonly shapes: readonly Shape[];
  readonly names: readonly string[];
  /** Shape of each host. */
  readonly shapeOf: Uint16Array;
}

/** A machine's shape by its name; throws InputError at the place where the name stands. */
export type MachineShapes = (name: string, kinds: Names) => MachineFacts;

interface NodeFacts {
  readonly name: string;
  readonly cpuMilli: number;
  readonly memoryMib: number;
  readonly gpus: number;
  readonly model: string;
}

const openb = (row: Row): NodeFacts => ({
  name: row.name('sn'),
  cpuMilli: row.whole('cpu_milli', LIMITS.cpuMilli),
  memoryMib: row.whole('memory_mib', LIMITS.memoryMib),
  gpus: row.whole('gpu', LIMITS.devices),
  model: row.text('model'),
});

/** It does not tell memory: that never refuses anybody. */
const spot = (row: Row): NodeFacts => ({
  name: row.name('node_name'),
  cpuMilli: row.whole('cpu_num', LIMITS.cpuMilli / 1000) * 1000,
  memoryMib: LIMITS.memoryMib,
  gpus: row.whole('gpu_capacity_num', LIMITS.devices),
  model: row.text('gpu_model'),
});

const DIALECTS = [
  { columns: ['sn', 'cpu_milli', 'memory_mib', 'gpu', 'model'], read: openb },
  { columns: ['node_name', 'cpu_num', 'gpu_capacity_num', 'gpu_model'], read: spot },
];

/** Throws InputError with file, line and field. */
export function importNodes(text: string, file: string, kinds: Names, machines?: MachineShapes): HostList {
  const head = /^[^#\r\n][^\r\n]*/m.exec(text)?.[0].replace(/^\ufeff/, '') ?? '';
  const present = new Set(head.split(',').map((cell) => cell.trim()));
  const dialect = DIALECTS.find(({ columns }) => present.has(columns[0]!)) ?? DIALECTS[0]!;
  const shapes = new Map<string, { shape: Shape; index: number }>();
  const lines = new Map<string, number>();
  const shapeOf: number[] = [];
  for (const row of readCsv(text, file, dialect.columns)) {
    const facts = dialect.read(row);
    const field = dialect.columns[0]!;
    const other = lines.get(facts.name);
    if (other !== undefined) throw row.wrong(field, `${quote(facts.name)} is already the host of line ${other}`);
    if (facts.gpus > 0 && facts.model === '') throw row.wrong(dialect.columns.at(-1)!, 'has GPUs but no model');
    if (lines.size === LIMITS.hosts) throw row.wrong(field, `more than ${LIMITS.hosts} hosts`);
    lines.set(facts.name, row.line);
    const key = shapeKey(row, facts);
    let known = shapes.get(key);
    if (!known) {
      if (shapes.size === LIMITS.shapes) throw row.wrong('model', `more than ${LIMITS.shapes} kinds of host`);
      known = { shape: shapeOfRow(row, facts, kinds, machines), index: shapes.size };
      shapes.set(key, known);
    }
    shapeOf.push(known.index);
  }
  if (shapeOf.length === 0) throw new InputError('has no host', { file });
  return {
    shapes: [...shapes.values()].map(({ shape }) => shape),
    names: [...lines.keys()],
    shapeOf: Uint16Array.from(shapeOf),
  };
}

const MORE_COLUMNS = ['machine', 'devices', 'numa_nodes', 'per_group', 'per_switch', 'hugepages_mib', 'memlock_mib'];

const shapeKey = (row: Row, { cpuMilli, memoryMib, gpus, model }: NodeFacts): string =>
  [cpuMilli, memoryMib, gpus, model, ...MORE_COLUMNS.map((field) => row.text(field))].join();

function shapeOfRow(row: Row, facts: NodeFacts, kinds: Names, machines?: MachineShapes): Shape {
  const { cpuMilli, gpus, memoryMib } = facts;
  const model = gpus > 0 ? facts.model : '';
  const cores = `${cpuMilli / 1000} CPUs`;
  const machine = row.text('machine');
  const from = machine === '' ? plainShape(row, facts, kinds) : machineShape(row, machine, kinds, machines);
  const found = from.slots.filter(({ kind }) => kind === GPU).length;
  if (found !== gpus) throw row.wrong('gpu', `${gpus}, but machine ${quote(machine)} has ${found}`);
  const huge = row.whole('hugepages_mib', memoryMib, 0);
  const nodes = from.memory.length;
  return {
    name: `${gpus > 0 ? `${model} x${gpus} ` : ''}${cores}${machine === '' ? '' : ` (${machine})`}`,
    ...(machine !== '' && { machine }),
    model,
    cpuMilli,
    memory: shares(memoryMib - huge, nodes),
    hugepages: shares(huge, nodes),
    memlock: row.whole('memlock_mib', LIMITS.memoryMib, Number.MAX_SAFE_INTEGER),
    slots: from.slots,
    partitions: from.partitions,
  };
}

/** What a machine gives to a shape; of its memory only the number of NUMA nodes counts. */
export type MachineFacts = Pick<Shape, 'memory' | 'slots' | 'partitions'>;

/** GPUs, then the devices of each further kind, each kind spread over the NUMA nodes in order. */
function plainShape(row: Row, { gpus }: NodeFacts, kinds: Names): MachineFacts {
  const numaNodes = row.whole('numa_nodes', LIMITS.numaNodes, 1, 1);
  const perGroup = row.whole('per_group', LIMITS.devices, 1, 1);
  const perSwitch = row.whole('per_switch', LIMITS.devices, LIMITS.devices, 1);
  const more = readDevices(row, kinds).map((each) => ({ ...each, units: each.units || MILLI }));
  const devices = [{ kind: GPU, count: gpus, units: MILLI }, ...more];
  const count = devices.reduce((sum, each) => sum + each.count, 0);
  if (count > LIMITS.devices) throw row.wrong('devices', `${count} devices: at most ${LIMITS.devices}`);
  const slots = evenSlots(devices, { numaNodes, perGroup, perSwitch }, kinds);
  const partitions = row.whole('nvswitch', 1, 0) === 1 ? fabricPartitions(slots) : undefined;
  return { memory: Array.from({ length: numaNodes }, () => 0), slots, partitions };
}

function machineShape(row: Row, name: string, kinds: Names, machines?: MachineShapes): MachineFacts {
  if (!machines) throw row.wrong('machine', 'machines are not known here');
  try {
    return machines(name, kinds);
  } catch (error) {
    if (error instanceof InputError) throw row.wrong('machine', error.message);
    throw error;
  }
}

/** An amount in equal parts, the remainder on the first. */
export const shares = (amount: number, parts: number): number[] =>
  Array.from({ length: parts }, (_, i) => Math.floor(amount / parts) + (i === 0 ? amount % parts : 0));
