/**
 * A request from a Kubernetes pod (v1.Pod as JSON).
 *
 * Words: its containers' `resources.requests` are summed. A resource `MAKER/KIND` is a device of that kind; `hugepages-SIZE` is pinned
 * memory in huge pages; of kinds that no host has others take care. What resources cannot say, annotations `vfiolab/COLUMN` do, with the columns of a pod list.
 * Rule: it is read as a line of a pod list, so the same is right and wrong, and said in the same words.
 */
import { importPods } from './import-pods.js';
import { InputError } from './input-error.js';
import type { RequestFacts } from './request.js';
import type { Names } from './shape.js';

const ANNOTATION = 'vfiolab/';
const COLUMNS = [
  'gpu_milli',
  'gpu_spec',
  'devices',
  'near',
  'passthrough',
  'whole_group',
  'pinned_mib',
  'huge',
] as const;
const CONTAINERS = 1024;
const MIB = 2 ** 20;
const SUFFIXES: Readonly<Record<string, number>> = {
  ...{ m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50 },
};

type Json = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws InputError: what is wrong, with the field of the pod. */
export function kubePod(pod: unknown, kinds: Names): RequestFacts {
  const metadata = isObject(pod) && isObject(pod['metadata']) ? pod['metadata'] : {};
  const name = typeof metadata['name'] === 'string' ? metadata['name'] : 'pod';
  const wrong = (field: string, problem: string) => new InputError(problem, { file: name, field });
  if (!isObject(pod) || !isObject(pod['spec']) || !Array.isArray(pod['spec']['containers']))
    throw wrong('spec.containers', 'is missing');
  const containers = pod['spec']['containers'] as unknown[];
  if (containers.length > CONTAINERS) throw wrong('spec.containers', `more than ${CONTAINERS}`);
  const sums = new Map<string, number>();
  for (const [i, container] of containers.entries()) {
    const resources = isObject(container) && isObject(container['resources']) ? container['resources'] : {};
    const requests = isObject(resources['requests']) ? resources['requests'] : {};
    for (const [resource, text] of Object.entries(requests)) {
      const value = quantity(text);
      if (Number.isNaN(value))
        throw wrong(`spec.containers[${i}].resources.requests.${resource}`, `${JSON.stringify(text)} is no quantity`);
      sums.set(resource, (sums.get(resource) ?? 0) + value);
    }
  }
  const annotations = isObject(metadata['annotations']) ? metadata['annotations'] : {};
  const columns = columnsOf(sums, annotations, kinds);
  for (const [, kind] of columns.get('devices')!.matchAll(/([a-z][a-z0-9_-]*)\*/g))
    if (kinds.find(kind!) === undefined) throw wrong('devices', `no host has a ${JSON.stringify(kind!.slice(0, 40))}`);
  return read(name, columns, kinds);
}

/** `500m`, `2`, `1.5Gi`; NaN: it is none. */
export function quantity(value: unknown): number {
  const found = /^(\d{1,15}(?:\.\d{1,9})?)([a-zA-Z]{0,2})$/.exec(
    typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '',
  );
  if (!found || !Object.hasOwn(SUFFIXES, found[2]!)) return Number.NaN;
  return Number(found[1]) * SUFFIXES[found[2]!]!;
}

/** To the next whole number; what sums of fractions are off by does not count. */
const upwards = (value: number): number => Math.ceil(value - 1e-7);

function columnsOf(sums: ReadonlyMap<string, number>, annotations: Json, kinds: Names): Map<string, string> {
  const columns = new Map([['name', 'pod']]);
  let [gpus, huge] = [0, 0];
  const devices: string[] = [];
  for (const [resource, value] of sums) {
    const kind = /\/([a-z][a-z0-9_-]*)$/.exec(resource.toLowerCase())?.[1];
    if (resource.startsWith('hugepages-')) huge += upwards(value / MIB);
    else if (kind === 'gpu') gpus += value;
    // VFs that are asked for together are VFs of one PF.
    else if (kind !== undefined && value > 0 && kinds.find(kind) !== undefined)
      devices.push(kind === 'vf' ? `vf*1:${value}` : `${kind}*${value}`);
  }
  columns.set('cpu_milli', String(upwards(1000 * (sums.get('cpu') ?? 0))));
  columns.set('memory_mib', String(upwards((sums.get('memory') ?? 0) / MIB) + huge));
  columns.set('num_gpu', String(gpus));
  columns.set('gpu_milli', gpus > 0 ? '1000' : '0');
  columns.set('devices', devices.join('+'));
  if (huge > 0) columns.set('pinned_mib', String(huge)).set('huge', '1');
  for (const column of COLUMNS) {
    const given = annotations[`${ANNOTATION}${column}`];
    if (given !== undefined) columns.set(column, String(given));
  }
  return columns;
}

const cell = (text: string): string => `"${text.replaceAll('"', '""').replaceAll(/[\r\n]/g, ' ')}"`;

function read(name: string, columns: ReadonlyMap<string, string>, kinds: Names): RequestFacts {
  const text = `${[...columns.keys()].join()}\n${[...columns.values()].map(cell).join()}\n`;
  try {
    return importPods(text, name, kinds).requests.classes[0]!;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const { field } = error.place;
    throw new InputError(error.problem, { file: name, ...(field !== undefined && { field }) });
  }
}
