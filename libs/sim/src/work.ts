/**
 * The cost model at work: it looks at what services ask of each other, and says how much later an answer comes.
 *
 * Words: *work* is pinning, writing and clearing entries, flushing, and faults on BARs.
 * Rule: work is done once, however often its request or its answer is repeated. It is a function of the messages, so the same
 * run takes the same time. Leaves are counted as a table of 4 KiB, 2 MiB and 1 GiB has them: the fewest that fit.
 */
import {
  type Address,
  type AnyMethod,
  decodeHeader,
  deviceApi,
  deviceOf,
  IOMMU,
  iommuApi,
  isClient,
  PAGES,
  pagesApi,
  payloadOf,
  type ReplyOf,
  REPLY,
  REQUEST,
  type Run,
  STATUS,
  sysApi,
} from '@vfiolab/core';
import { VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { BarFaults } from './bar-faults.js';
import type { Costs, FaultOrder } from './costs.js';

export interface WorkFigures {
  pinnedPages: number;
  pinnedRuns: number;
  unpinnedPages: number;
  mappedLeaves: number;
  unmappedLeaves: number;
  flushes: number;
  /** By order. */
  readonly faults: Record<FaultOrder, number>;
  /** Of all of it together. */
  ns: number;
}

interface Asked {
  readonly method: AnyMethod;
  readonly args: unknown;
}

const WATCHED: Readonly<Record<string, readonly AnyMethod[]>> = {
  [PAGES]: [
    pagesApi.storeCreate,
    pagesApi.storeCreateFile,
    pagesApi.pin,
    pagesApi.unpin,
    pagesApi.unpinMany,
    pagesApi.munmap,
    pagesApi.exec,
    pagesApi.deviceMemory,
  ],
  [IOMMU]: [iommuApi.map, iommuApi.unmap, iommuApi.attach],
  device: [deviceApi.mapRegion, deviceApi.load, deviceApi.store, deviceApi.hotReset, sysApi.ioctl],
};
/** By service, or `device`, and by number. */
const METHODS: ReadonlyMap<string, ReadonlyMap<number, AnyMethod>> = new Map(
  Object.entries(WATCHED).map(([to, methods]) => [to, new Map(methods.map((m) => [m.id, m]))]),
);
/** Answers that may still be repeated. */
const REMEMBERED = 4096;
const NS_PER_MS = 1e6;
/** Pages of a leaf. */
const LEAVES = [2 ** 18, 2 ** 9, 1] as const;

export class Work {
  readonly figures: WorkFigures = {
    ...{ pinnedPages: 0, pinnedRuns: 0, unpinnedPages: 0, mappedLeaves: 0, unmappedLeaves: 0, flushes: 0 },
    faults: { 18: 0, 9: 0, 0: 0 },
    ns: 0,
  };
  /** Requests whose answer has not left. */
  private readonly asked = new Map<string, Asked>();
  /** When answers that have left may arrive, ms; the newest last. */
  private readonly doneAt = new Map<string, number>();
  private readonly bars: BarFaults;

  constructor(
    private readonly costs: Costs,
    private readonly now: () => number,
  ) {
    this.bars = new BarFaults(costs.faultOrder);
  }

  /** A frame has come to a service. */
  arrives(from: Address, to: Address, frame: Uint8Array): void {
    const methods = METHODS.get(deviceOf(to) === undefined ? to : 'device');
    if (!methods || frame[0] !== REQUEST) return;
    const h = decodeHeader(frame);
    const method = methods.get(h.method);
    const key = keyOf(to, from, h.id);
    if (method && !this.doneAt.has(key)) this.asked.set(key, { method, args: method.args.read(payloadOf(frame)) });
  }

  /** A service answers: how much later, in ms, because of the work. */
  leaves(from: Address, to: Address, frame: Uint8Array): number {
    if (frame[0] !== REPLY) return 0;
    const h = decodeHeader(frame);
    const key = keyOf(from, to, h.id);
    const asked = this.asked.get(key);
    this.asked.delete(key);
    if (asked && h.method === STATUS.ok) {
      const ns = this.cost(from, to, asked, asked.method.reply.read(payloadOf(frame)));
      this.figures.ns += ns;
      if (ns > 0) this.remember(key, this.now() + ns / NS_PER_MS);
    }
    return Math.max(0, (this.doneAt.get(key) ?? 0) - this.now());
  }

  private remember(key: string, at: number): void {
    this.doneAt.set(key, at);
    if (this.doneAt.size <= REMEMBERED) return;
    for (const [old, done] of this.doneAt) if (done < this.now()) this.doneAt.delete(old);
  }

  private cost(service: Address, asker: Address, { method, args }: Asked, reply: unknown): number {
    const bdf = deviceOf(service);
    if (bdf !== undefined) return this.access(bdf, asker, { method, args }, reply);
    const is = <M extends AnyMethod>(m: M): boolean => m === method;
    const value = (reply as { value?: unknown } | undefined)?.value;
    if (is(pagesApi.pin)) return this.pin(value as { runs: Run[] } | undefined);
    if (is(pagesApi.storeCreate) || is(pagesApi.storeCreateFile))
      return this.pin((value as { pinned: { runs: Run[] } } | undefined)?.pinned);
    if (is(pagesApi.unpin)) return this.unpin([args as Unpinned]);
    if (is(pagesApi.unpinMany)) return this.unpin((args as { stores: Unpinned[] }).stores);
    if (is(iommuApi.map)) return this.map(args as Mapped, reply as ReplyOf<typeof iommuApi.map>);
    if (is(iommuApi.unmap)) return this.unmap(args as Unmapped);
    if (is(iommuApi.attach)) return this.flush((reply as { ok: boolean }).ok ? 1 : 0);
    if (is(pagesApi.deviceMemory)) this.zap(args as { bdf: string; on: boolean });
    else if (is(pagesApi.munmap)) {
      const { va, length } = args as { va: number; length: number };
      this.bars.remove(asker, va, length);
    } else this.bars.forget(asker);
    return 0;
  }

  private pin(pinned: { readonly runs: readonly Run[] } | undefined): number {
    const pages = sum(pinned?.runs ?? [], ({ count }) => count);
    const runs = pinned?.runs.length ?? 0;
    this.figures.pinnedPages += pages;
    this.figures.pinnedRuns += runs;
    return pages * this.costs.pinPage + runs * this.costs.pinRun;
  }

  private unpin(stores: readonly Unpinned[]): number {
    const pages = sum(stores, ({ ranges }) => sum(ranges, ({ count }) => count));
    this.figures.unpinnedPages += pages;
    return pages * this.costs.unpinPage;
  }

  private map({ domains, iova, runs, small }: Mapped, { ok }: { ok: boolean }): number {
    if (!ok) return 0;
    let leaves = 0;
    let at = iova;
    for (const { frame, count } of runs) {
      leaves += small ? count : leavesOf(count, at, frame);
      at += count;
    }
    this.figures.mappedLeaves += leaves * domains.length;
    return leaves * domains.length * this.costs.mapLeaf;
  }

  private unmap({ domains, spans }: Unmapped): number {
    const leaves = sum(spans, ({ iova, count }) => leavesOf(count, iova)) * domains.length;
    this.figures.unmappedLeaves += leaves;
    return leaves * this.costs.unmapLeaf + this.flush(domains.length);
  }

  private flush(count: number): number {
    this.figures.flushes += count;
    return count * this.costs.flush;
  }

  private zap({ bdf, on }: { bdf: string; on: boolean }): void {
    if (!on) this.bars.zap(bdf);
  }

  /** A process maps a BAR, or reaches through such a mapping; or the function is reset. */
  private access(device: string, client: Address, { method, args }: Asked, reply: unknown): number {
    if (method === (sysApi.ioctl as AnyMethod)) {
      const reset = (args as { cmd: number }).cmd === VFIO_DEVICE_RESET.nr && (reply as { errno: number }).errno === 0;
      if (reset) this.bars.zap(device);
      return 0;
    }
    const { ok, value } = reply as { ok: boolean; value: number };
    if (ok && method === (deviceApi.hotReset as AnyMethod)) this.bars.zap(device);
    if (!ok || !isClient(client)) return 0;
    const { token, offset, length } = args as { token: string; offset: number; length: number };
    if (method === (deviceApi.mapRegion as AnyMethod)) {
      this.bars.add({ device, client, token, offset, length, va: value });
      return 0;
    }
    const order = this.bars.touch(device, client, token, offset);
    if (order === undefined) return 0;
    this.figures.faults[order]++;
    return this.costs.fault;
  }
}

interface Unpinned {
  readonly ranges: readonly { readonly count: number }[];
}
interface Mapped {
  readonly domains: readonly number[];
  readonly iova: number;
  readonly runs: readonly Run[];
  readonly small: boolean;
}
interface Unmapped {
  readonly domains: readonly number[];
  readonly spans: readonly { readonly iova: number; readonly count: number }[];
}

const keyOf = (service: Address, asker: Address, id: number): string => `${service}<${asker}#${id}`;

const sum = <T>(all: readonly T[], of: (each: T) => number): number => all.reduce((n, each) => n + of(each), 0);

/** The fewest leaves that `count` pages can have where both addresses, in pages, begin. */
export function leavesOf(count: number, ...starts: readonly number[]): number {
  let leaves = 0;
  for (let at = 0; at < count;) {
    const size = LEAVES.find((pages) => at + pages <= count && starts.every((start) => (start + at) % pages === 0))!;
    // As many of them as follow each other, at once: 1 TiB must not take a walk over its pages.
    const next = LEAVES[LEAVES.indexOf(size) - 1];
    const room = next === undefined ? count - at : Math.min(count - at, toNext(starts, at, next));
    const many = Math.max(1, Math.floor(room / size));
    leaves += many;
    at += many * size;
  }
  return leaves;
}

/** Pages up to where a larger leaf could begin; all that are left when it never can. */
function toNext(starts: readonly number[], at: number, pages: number): number {
  const [first = 0] = starts;
  const aligned = starts.every((start) => (start - first) % pages === 0);
  if (!aligned) return Number.MAX_SAFE_INTEGER;
  const past = (first + at) % pages;
  return past === 0 ? pages : pages - past;
}
