/**
 * Requests from a pod list.
 *
 * Columns as in Alibaba's openb (`name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,...,creation_time,deletion_time`) or
 * its DLRM trace (`instance_sn,cpu_request,gpu_request,rdma_request,memory_request`). More columns ask for more; each may be
 * missing: `devices` (`nic*1:250+vf*1:2`: kind, count and units of each; without units the device as a whole), `near`,
 * `passthrough`, `whole_group` (0 or 1), `pinned_mib`, `huge` (0 or 1).
 */
import { readCsv, type Row } from './csv.js';
import { readDevices } from './device-list.js';
import { InputError, quote } from './input-error.js';
import { LIMITS } from './limits.js';
import type { Load } from './policy.js';
import { type Item, NEAR, type Near, type RequestClass, Requests } from './request.js';
import { GPU, MILLI, type Names } from './shape.js';

export interface PodList {
  readonly requests: Requests;
  readonly names: readonly string[];
  /** Class of each pod. */
  readonly classOf: Uint16Array;
  /** Seconds; NaN: not told. */
  readonly created: Float64Array;
  readonly deleted: Float64Array;
}

/** What policies know of the whole list. */
export function loadOf({ requests, classOf }: Pick<PodList, 'requests' | 'classOf'>): Load {
  const { classes } = requests;
  const counts = new Array<number>(classes.length).fill(0);
  for (const id of classOf) counts[id]!++;
  return { classes, counts };
}

interface Dialect {
  /** The first holds the name. */
  readonly columns: readonly string[];
  read(row: Row, kinds: Names): RequestClass['ask']['items'];
  cpuMilli(row: Row): number;
  memory(row: Row): number;
}

const openb: Dialect = {
  columns: ['name', 'cpu_milli', 'memory_mib', 'num_gpu', 'gpu_milli'],
  read: (row) => gpuItems(row, row.whole('num_gpu', LIMITS.devices), row.whole('gpu_milli', MILLI)),
  cpuMilli: (row) => row.whole('cpu_milli', LIMITS.cpuMilli),
  memory: (row) => row.whole('memory_mib', LIMITS.memoryMib),
};

/** RDMA is told in hundredths of a NIC, memory in GiB. */
const dlrm: Dialect = {
  columns: ['instance_sn', 'cpu_request', 'gpu_request', 'rdma_request', 'memory_request'],
  read: (row, kinds) => {
    const gpus = row.whole('gpu_request', LIMITS.devices);
    const rdma = row.whole('rdma_request', 100);
    return [
      ...gpuItems(row, gpus, gpus > 0 ? MILLI : 0),
      ...(rdma > 0 ? [{ kind: kinds.id('nic'), count: 1, units: rdma * 10 }] : []),
    ];
  },
  cpuMilli: (row) => row.whole('cpu_request', LIMITS.cpuMilli / 1000) * 1000,
  memory: (row) => Math.ceil(decimal(row, 'memory_request', LIMITS.memoryMib / 1024) * 1024),
};

/** Throws InputError with file, line and field. */
export function importPods(text: string, file: string, kinds: Names): PodList {
  const head = /^[^#\r\n][^\r\n]*/m.exec(text)?.[0].replace(/^\ufeff/, '') ?? '';
  const dialect = head.split(',').some((cell) => cell.trim() === dlrm.columns[0]) ? dlrm : openb;
  const requests = new Requests();
  const lines = new Map<string, number>();
  const classOf: number[] = [];
  const created: number[] = [];
  const deleted: number[] = [];
  for (const row of readCsv(text, file, dialect.columns)) {
    const field = dialect.columns[0]!;
    const name = row.name(field);
    const other = lines.get(name);
    if (other !== undefined) throw row.wrong(field, `${quote(name)} is already the pod of line ${other}`);
    if (lines.size === LIMITS.pods) throw row.wrong(field, `more than ${LIMITS.pods} pods`);
    lines.set(name, row.line);
    classOf.push(requests.intern(factsOf(row, dialect, kinds)).id);
    if (requests.classes.length > LIMITS.classes)
      throw row.wrong(field, `more than ${LIMITS.classes} different requests`);
    const [from, to] = [decimal(row, 'creation_time'), decimal(row, 'deletion_time')];
    if (to < from) throw row.wrong('deletion_time', `${to} is before creation_time ${from}`);
    created.push(from);
    deleted.push(to);
  }
  if (classOf.length === 0) throw new InputError('has no pod', { file });
  return {
    requests,
    names: [...lines.keys()],
    classOf: Uint16Array.from(classOf),
    created: Float64Array.from(created),
    deleted: Float64Array.from(deleted),
  };
}

function factsOf(row: Row, dialect: Dialect, kinds: Names): Parameters<Requests['intern']>[0] {
  const items = [...dialect.read(row, kinds), ...readDevices(row, kinds)];
  const models = row
    .text('gpu_spec')
    .split('|')
    .map((model) => model.trim())
    .filter((model) => model !== '');
  const wholeGroup = row.whole('whole_group', 1, 0) === 1;
  const passthrough = wholeGroup || row.whole('passthrough', 1, 0) === 1;
  const shared = passthrough ? items.find(({ kind, units }) => units > 0 && kinds.names[kind] !== 'vf') : undefined;
  if (shared)
    throw row.wrong(
      'passthrough',
      `a share of a ${kinds.names[shared.kind]!} cannot be passed through: only whole devices and VFs`,
    );
  const pinned = row.whole('pinned_mib', LIMITS.memoryMib, 0);
  return {
    ask: { items, near: nearOf(row), passthrough, wholeGroup },
    cpuMilli: dialect.cpuMilli(row),
    memory: Math.max(0, dialect.memory(row) - pinned),
    pinned,
    huge: row.whole('huge', 1, 0) === 1,
    models: items.some(({ kind }) => kind === GPU) ? models : [],
  };
}

function gpuItems(row: Row, count: number, milli: number): Item[] {
  if (count === 0 && milli > 0) throw row.wrong('gpu_milli', `${milli} of no GPU; num_gpu is 0`);
  if (count > 0 && milli === 0) throw row.wrong('gpu_milli', `0 of ${count} GPUs`);
  if (count > 1 && milli < MILLI)
    throw row.wrong('gpu_milli', `${milli}: only one GPU can be shared, and num_gpu is ${count}`);
  return count === 0 ? [] : [{ kind: GPU, count, units: milli === MILLI ? 0 : milli }];
}

function nearOf(row: Row): Near {
  const text = row.text('near');
  if (text === '') return 'any';
  const near = NEAR.find((each) => each === text);
  if (!near) throw row.wrong('near', `${quote(text)} is none of ${NEAR.join(', ')}`);
  return near;
}

/** A number that is not below 0; NaN where nothing stands and no bound is given. */
function decimal(row: Row, field: string, most?: number): number {
  const text = row.text(field);
  if (text === '' && most === undefined) return Number.NaN;
  const value = /^-?\d{1,15}(\.\d{1,20})?$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isNaN(value)) throw row.wrong(field, `${quote(text)} is no number`);
  if (value < 0) throw row.wrong(field, `${text} is too small: at least 0`);
  if (most !== undefined && value > most) throw row.wrong(field, `${text} is too large: at most ${most}`);
  return value;
}
