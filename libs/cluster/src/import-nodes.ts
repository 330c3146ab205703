/**
 * Hosts from a node list.
 *
 * Columns as in Alibaba's openb (`sn,cpu_milli,memory_mib,gpu,model`) or its spot trace (`node_name,cpu_num,
 * gpu_capacity_num,gpu_model`). More columns make a shape richer; each may be missing:
 * `machine` (a topology that gives the devices), `hugepages_mib`, `memlock_mib`.
 */
import { readCsv, type Row } from './csv.js';
import { InputError, quote } from './input-error.js';
import { LIMITS } from './limits.js';
import { GPU, type Names, plainShape, type Shape } from './shape.js';

export interface HostList {
  readonly shapes: readonly Shape[];
  readonly names: readonly string[];
  /** Shape of each host. */
  readonly shapeOf: Uint16Array;
}

/** A machine's shape by its name; throws InputError at the place where the name stands. */
export type MachineShapes = (name: string, kinds: Names) => Omit<Shape, 'cpuMilli' | 'memlock'>;

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

const shapeKey = (row: Row, { cpuMilli, memoryMib, gpus, model }: NodeFacts): string =>
  [
    cpuMilli,
    memoryMib,
    gpus,
    model,
    ...['machine', 'hugepages_mib', 'memlock_mib'].map((field) => row.text(field)),
  ].join();

function shapeOfRow(row: Row, facts: NodeFacts, kinds: Names, machines?: MachineShapes): Shape {
  const { cpuMilli, gpus, memoryMib } = facts;
  const model = gpus > 0 ? facts.model : '';
  const cores = `${cpuMilli / 1000} CPUs`;
  const name = gpus > 0 ? `${model} x${gpus} ${cores}` : cores;
  const plain = plainShape(name, { model, cpuMilli, memoryMib, gpus });
  const memlock = row.whole('memlock_mib', LIMITS.memoryMib, Number.MAX_SAFE_INTEGER);
  const huge = row.whole('hugepages_mib', memoryMib, 0);
  const machine = row.text('machine');
  const from = machine === '' ? plain : { ...machineShape(row, machine, kinds, machines), cpuMilli };
  const found = from.slots.filter(({ kind }) => kind === GPU).length;
  if (found !== gpus) throw row.wrong('gpu', `${gpus}, but machine ${quote(machine)} has ${found}`);
  const nodes = Math.max(1, from.memory.length);
  return {
    ...from,
    model: facts.model || from.model,
    name: machine === '' ? name : `${name} (${machine})`,
    memory: shares(memoryMib - huge, nodes),
    hugepages: shares(huge, nodes),
    memlock,
  };
}

function machineShape(row: Row, name: string, kinds: Names, machines?: MachineShapes): ReturnType<MachineShapes> {
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
