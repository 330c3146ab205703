/**
 * What a pod or a VM asks for.
 *
 * Words: a *class* is all requests that are equal. An *ask* is its part about devices: classes that differ in processors
 * and memory share one.
 */
import { GPU, MILLI } from './shape.js';

export const NEAR = ['any', 'numa', 'switch', 'link'] as const;
/** How close together its devices have to be: on one NUMA node, behind one switch, in one NVLink domain. */
export type Near = (typeof NEAR)[number];

export interface Item {
  /** Index in `Kinds`. */
  readonly kind: number;
  /** Different devices. */
  readonly count: number;
  /** Of each device; 0: the device as a whole. */
  readonly units: number;
}

export interface Ask {
  readonly id: number;
  readonly items: readonly Item[];
  readonly near: Near;
  /** Devices are passed through (VFIO): an IOMMU group has one user. */
  readonly passthrough: boolean;
  /** Passed through are all devices of each group it touches, as firmware and drivers of some devices want it. */
  readonly wholeGroup: boolean;
}

export interface RequestClass {
  readonly id: number;
  readonly ask: Ask;
  readonly cpuMilli: number;
  /** MiB, from wherever the host has them. */
  readonly memory: number;
  /** MiB that stay pinned for DMA; with `near` not `any`, of the NUMA node of its devices. */
  readonly pinned: number;
  /** The pinned memory is in huge pages. */
  readonly huge: boolean;
  /** Models of GPU that will do; empty: all. */
  readonly models: readonly string[];
  readonly gpus: number;
  /** Thousandths of each of them. */
  readonly gpuMilli: number;
}

export type RequestFacts = Omit<RequestClass, 'id' | 'ask' | 'gpus' | 'gpuMilli'> & { readonly ask: Omit<Ask, 'id'> };

/** GPUs of an ask and thousandths of each; 0 of none. */
export function gpusOf(ask: Omit<Ask, 'id'>): { gpus: number; gpuMilli: number } {
  const item = ask.items.find(({ kind }) => kind === GPU);
  return item ? { gpus: item.count, gpuMilli: item.units === 0 ? MILLI : item.units } : { gpus: 0, gpuMilli: 0 };
}

const askKey = ({ items, near, passthrough, wholeGroup }: Omit<Ask, 'id'>): string =>
  `${items.map(({ kind, count, units }) => `${kind}*${count}:${units}`).join('+')},${near},${passthrough},${wholeGroup}`;

const classKey = (request: Omit<RequestClass, 'id' | 'gpus' | 'gpuMilli'>): string => {
  const { ask, cpuMilli, memory, pinned, huge, models } = request;
  return [ask.id, cpuMilli, memory, pinned, huge, models.join('|')].join(',');
};

/** All classes and asks of a run, each once. */
export class Requests {
  readonly classes: RequestClass[] = [];
  readonly asks: Ask[] = [];
  private readonly classOf = new Map<string, RequestClass>();
  private readonly askOf = new Map<string, Ask>();

  intern(facts: RequestFacts): RequestClass {
    const { cpuMilli, memory, pinned, huge, models } = facts;
    const ask = this.internAsk(facts.ask);
    const key = classKey({ ask, cpuMilli, memory, pinned, huge, models });
    const known = this.classOf.get(key);
    if (known) return known;
    const made = { id: this.classes.length, ask, cpuMilli, memory, pinned, huge, models, ...gpusOf(ask) };
    this.classes.push(made);
    this.classOf.set(key, made);
    return made;
  }

  /** The class of these facts, if there is one already. */
  known(facts: RequestFacts): RequestClass | undefined {
    const ask = this.askOf.get(askKey(facts.ask));
    return ask && this.classOf.get(classKey({ ...facts, ask }));
  }

  private internAsk(facts: Omit<Ask, 'id'>): Ask {
    const key = askKey(facts);
    const known = this.askOf.get(key);
    if (known) return known;
    const made = { ...facts, id: this.asks.length };
    this.asks.push(made);
    this.askOf.set(key, made);
    return made;
  }
}

export const NO_DEVICES: Omit<Ask, 'id'> = { items: [], near: 'any', passthrough: false, wholeGroup: false };
