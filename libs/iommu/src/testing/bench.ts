/**
 * The iommu core in a machine of its own: the test is every other service.
 *
 * Words: `ask` sends a request as `iommufd` would; the answer stays undefined while the operation waits. Calls to `pages`
 * are held until the test answers them, so that a DMA can be stopped half-way; calls to others are kept in `calls`.
 */
import {
  type AnyMethod,
  type ArgsOf,
  decodeHeader,
  deviceApi,
  encodeFrame,
  IOMMU,
  IOMMUFD,
  iommuApi,
  iommufdApi,
  Machine,
  PAGES,
  pagesApi,
  payloadOf,
  REPLY,
  type ReplyOf,
  REQUEST,
} from '@vfiolab/core';
import { IommuCore, type IommuLimits } from '../iommu-core.js';

type Api = typeof iommuApi;
type Name = keyof Api;

export interface Answer<R> {
  value: R | undefined;
}
export interface HeldCall {
  readonly id: number;
  readonly write: boolean;
  readonly pieces: { frame: number; offset: number; length: number }[];
  readonly data: Uint8Array;
}

const NO_ENTROPY = new Uint8Array(0);

export class Bench {
  readonly core: IommuCore;
  readonly machine: Machine;
  /** Calls to `pages` that nobody has answered, oldest first. */
  readonly held: HeldCall[] = [];
  /** Calls to others that nobody has answered, oldest first. */
  readonly calls: { readonly to: string; readonly method: AnyMethod; readonly id: number; readonly args: unknown }[] =
    [];
  /** Who asks. */
  sender = IOMMUFD;
  /** By sender and id: every sender numbers its own requests. */
  private readonly waiting = new Map<string, Map<number, (frame: Uint8Array) => void>>();
  private readonly lastId = new Map<string, number>();

  constructor(limits: IommuLimits = {}) {
    this.core = new IommuCore(limits);
    this.machine = new Machine(IOMMU, this.core);
  }

  ask<K extends Name>(name: K, args: ArgsOf<Api[K]>): Answer<ReplyOf<Api[K]>> {
    const answer: Answer<ReplyOf<Api[K]>> = { value: undefined };
    const method: AnyMethod = iommuApi[name];
    const id = (this.lastId.get(this.sender) ?? 0) + 1;
    this.lastId.set(this.sender, id);
    this.openOf(this.sender).set(id, (frame) => {
      answer.value = (method.reply.read(payloadOf(frame)) ?? null) as ReplyOf<Api[K]>;
    });
    this.send(this.sender, encodeFrame(this.header(REQUEST, method.id, id), method.args, args));
    return answer;
  }

  /** Asks for what is answered at once. */
  now<K extends Name>(name: K, args: ArgsOf<Api[K]>): ReplyOf<Api[K]> {
    const { value } = this.ask(name, args);
    if (value === undefined) throw new Error(`${name} waits`);
    return value;
  }

  /** `pages` answers the oldest call; reads get `data`. */
  pagesAnswer(data: Uint8Array = NO_ENTROPY): HeldCall {
    const held = this.held.shift()!;
    const header = this.header(REPLY, 0, held.id);
    if (held.write) this.send(PAGES, encodeFrame(header, pagesApi.dmaWrite.reply, undefined));
    else this.send(PAGES, encodeFrame(header, pagesApi.dmaRead.reply, data));
    return held;
  }

  /** The oldest call to another service than `pages` is answered. */
  answerCall(reply: unknown): void {
    const { to, method, id } = this.calls.shift()!;
    this.send(to, encodeFrame(this.header(REPLY, 0, id), method.reply, reply));
  }

  private header(kind: number, method: number, id: number): Parameters<typeof encodeFrame>[0] {
    return {
      kind,
      flags: 0,
      method,
      epoch: 0,
      id,
      floor: this.oldest(id),
      clock: 0,
      seen: 0,
      deadline: 0,
    };
  }

  private oldest(id: number): number {
    for (const waiting of this.openOf(this.sender).keys()) return waiting;
    return id;
  }

  private openOf(sender: string): Map<number, (frame: Uint8Array) => void> {
    const known = this.waiting.get(sender) ?? new Map<number, (frame: Uint8Array) => void>();
    this.waiting.set(sender, known);
    return known;
  }

  private send(from: string, frame: Uint8Array): void {
    this.machine.step({ from, frame, now: 0, entropy: NO_ENTROPY });
    for (const out of this.machine.out.splice(0)) this.receive(out.to, out.frame);
  }

  private receive(to: string, frame: Uint8Array): void {
    const { kind, method, id } = decodeHeader(frame);
    if (kind === REPLY) {
      if (method !== 0) throw new Error(`status ${method}`);
      this.openOf(to).get(id)!(frame);
      this.openOf(to).delete(id);
      return;
    }
    if (to !== PAGES) return void this.calls.push({ to, id, ...callOf(to, method, payloadOf(frame)) });
    const write = method === pagesApi.dmaWrite.id;
    const args = (write ? pagesApi.dmaWrite : pagesApi.dmaRead).args.read(payloadOf(frame));
    this.held.push({ id, write, pieces: args.pieces, data: 'data' in args ? (args.data as Uint8Array) : NO_ENTROPY });
  }
}

function callOf(to: string, id: number, payload: Parameters<typeof iommuApi.dma.args.read>[0]) {
  const known: AnyMethod[] = Object.values(to === IOMMUFD ? iommufdApi : deviceApi);
  const method = known.find((each) => each.id === id);
  if (!method) throw new Error(`a call of ${id} to ${to}`);
  return { method, args: method.args.read(payload) as unknown };
}

export const DEV = '0000:00:03.0';
export const PAIR = ['0000:00:04.0', '0000:00:04.1'];
const FUNCTIONS = [
  { bdf: DEV, group: 1 },
  { bdf: PAIR[0]!, group: 2 },
  { bdf: PAIR[1]!, group: 2 },
];

/** A bench with three functions in two groups. */
export function benchOf(kind = 'intel-vtd', limits: IommuLimits = {}, profile = '6.12'): Bench {
  const bench = new Bench(limits);
  bench.now('configure', { profile, units: [], endpoints: [] });
  bench.now('setup', { kind, functions: FUNCTIONS });
  return bench;
}

/** The same, with domain 1 attached to DEV and mapped read-write: 4 granules from IOVA granule 16 on, frames 100-103. */
export function attachedBench(kind = 'intel-vtd', profile = '6.12'): Bench {
  const bench = benchOf(kind, {}, profile);
  bench.now('domainAlloc', { bdf: DEV, flags: 0 });
  bench.now('attach', { bdfs: [DEV], domain: 1 });
  bench.now('map', { domains: [1], iova: 16, runs: [{ frame: 100, count: 4 }], prot: 3 });
  return bench;
}
