/**
 * Looks at what services send each other, and at what they know at that moment: rules about the order of things, which no state
 * at rest can show.
 *
 * Words: a message is *seen* when it is sent first; that it was sent again, since nobody answered, is nothing new. A DMA is *under
 * way* from when the IOMMU takes it until it answers; its *pages* are granules of 4 KiB.
 * Rule: it reads, and changes nothing. What it cannot know for certain it does not find.
 */
import {
  type Address,
  type AnyMethod,
  type ArgsOf,
  decodeHeader,
  deviceApi,
  deviceOf,
  GROUPS,
  IOMMU,
  iommuApi,
  IOMMUFD,
  PAGES,
  pagesApi,
  payloadOf,
  REPLY,
  type ReplyOf,
  REQUEST,
} from '@vfiolab/core';
import { type CoreOf, deviceAt } from '@vfiolab/host';
import type { Result } from '@vfiolab/uapi';
import type { SimHost, Watcher } from '../../sim-host.js';

type Of<M extends keyof typeof iommuApi> = ArgsOf<(typeof iommuApi)[M]>;

/** What is asked of the IOMMU's core. */
interface Translator {
  through(bdf: string, pasid: number | undefined): number | undefined;
  tracks(domain: number): boolean;
}
const isTranslator = (core: unknown): core is Translator =>
  typeof (core as Translator | undefined)?.through === 'function';

interface Dma {
  readonly args: Of<'dma'>;
  /** The domain that it goes through; undefined: none, or it cannot be told. */
  readonly domain: number | undefined;
  readonly first: number;
  readonly end: number;
  /** Its translation went with an unmap that has been answered: it must not succeed any more. */
  forbidden: boolean;
}

interface Unmap {
  readonly args: Of<'unmap'>;
  /** Under way when it began, and in what it unmaps. */
  readonly before: readonly Dma[];
}

interface Report {
  readonly args: Of<'dirtyRead'>;
  /** Pages written before it was asked for. */
  readonly written: readonly number[];
}

const GRANULE = 4096n;
const meets = (dma: Dma, iova: number, count: number): boolean => dma.first < iova + count && iova < dma.end;

/** Requests of one pair of services, by method. */
const WATCHED: ReadonlyMap<Address, ReadonlyMap<number, AnyMethod>> = new Map([
  [
    IOMMU,
    byId(
      iommuApi.dma,
      iommuApi.unmap,
      iommuApi.map,
      iommuApi.dirtyRead,
      iommuApi.dirtyTracking,
      iommuApi.domainFree,
      iommuApi.pageResponse,
    ),
  ],
  [
    PAGES,
    byId(
      pagesApi.eventfdHold,
      pagesApi.eventfdWatch,
      pagesApi.eventfdSignal,
      pagesApi.eventfdDrop,
      pagesApi.eventfdUnwatch,
    ),
  ],
]);
const ANSWERED: readonly AnyMethod[] = [
  iommuApi.dma,
  iommuApi.unmap,
  iommuApi.dirtyRead,
  pagesApi.eventfdHold,
  pagesApi.eventfdWatch,
];

function byId(...methods: AnyMethod[]): ReadonlyMap<number, AnyMethod> {
  return new Map(methods.map((method) => [method.id, method]));
}

export class Watch {
  /** Requests seen, `from to id`, and the methods of those whose answers matter. */
  private readonly asked = new Map<string, AnyMethod>();
  private readonly taken = new Set<string>();
  private readonly answered = new Set<string>();
  private readonly dmas = new Map<string, Dma>();
  private readonly unmaps = new Map<string, Unmap>();
  private readonly reports = new Map<string, Report>();
  /** Pages that devices wrote to since they were last reported, by domain. */
  private readonly dirty = new Map<number, Set<number>>();
  /** Page requests that have had their answer, `bdf number`. */
  private readonly responses = new Set<string>();
  /** How often a device holds an eventfd, `device number`. */
  private readonly holds = new Map<string, number>();

  constructor(
    private readonly coreOf: CoreOf,
    private readonly find: (what: string) => void,
  ) {}

  static on(host: SimHost, find: (what: string) => void): Watch {
    const watch = new Watch((address) => host.actor(address)?.machine.core, find);
    host.watch(watch.watcher);
    return watch;
  }

  readonly watcher: Watcher = (from, to, frame, when) => {
    const rows = WATCHED.get(to);
    const hot = to.startsWith('device:') && from === GROUPS;
    if (!rows && from !== IOMMU && from !== PAGES && !hot) return false;
    const { kind, method, id } = decodeHeader(frame);
    if (kind === REQUEST) {
      const row = rows?.get(method) ?? (hot && method === deviceApi.hotReset.id ? deviceApi.hotReset : undefined);
      if (row) this.request(row, { from, to, id, frame, when });
    } else if (kind === REPLY && when === 'leaving') this.reply(from, to, id, frame);
    return false;
  };

  private request(
    method: AnyMethod,
    m: { from: Address; to: Address; id: number; frame: Uint8Array; when: string },
  ): void {
    const key = `${m.from} ${m.id}`;
    const seen = m.when === 'leaving' ? this.asked : this.taken;
    if (seen instanceof Map ? seen.has(`${m.to} ${key}`) : seen.has(`${m.to} ${key}`)) return;
    if (seen instanceof Map) seen.set(`${m.to} ${key}`, method);
    else seen.add(`${m.to} ${key}`);
    const args: unknown = method.args.read(payloadOf(m.frame));
    if (m.when === 'leaving') this.leaves(method, m.from, m.to, args);
    else if (m.to === IOMMU) this.arrives(method, key, args);
  }

  /** What a service sends must be right when it sends it. */
  private leaves(method: AnyMethod, from: Address, to: Address, args: unknown): void {
    if (method === iommuApi.dma) this.mayDoDma(from);
    else if (method === pagesApi.eventfdSignal) this.maySignal(from, (args as { event: number }).event);
    else if (method === pagesApi.eventfdDrop || method === pagesApi.eventfdUnwatch)
      this.hold(from, (args as { event: number }).event, -1);
    else if (method === deviceApi.hotReset) this.mayReset(to, args as ArgsOf<typeof deviceApi.hotReset>);
    else if (method === iommuApi.pageResponse && from === IOMMUFD) this.mayRespond(args as Of<'pageResponse'>);
  }

  /** I42, I44, I46: who does DMA is open, may, and is not stopped by migration. */
  private mayDoDma(from: Address): void {
    const device = deviceAt(this.coreOf, from);
    const name = deviceOf(from);
    if (!device) return;
    if (!device.open) this.find(`I46: ${name} does DMA, and nobody has it open`);
    else if (!device.busMaster) this.find(`I42: ${name} does DMA, and its bus master bit is off`);
    else if (!device.initiates) this.find(`I44: ${name} does DMA, and migration has stopped it`);
  }

  /** I40: a signal goes to an eventfd that the device has. */
  private maySignal(from: Address, event: number): void {
    if ((this.holds.get(`${from} ${event}`) ?? 0) <= 0)
      this.find(`I40: ${deviceOf(from)} signals eventfd ${event}, which it does not hold`);
  }

  private hold(of: Address, event: number, more: number): void {
    const key = `${of} ${event}`;
    this.holds.set(key, (this.holds.get(key) ?? 0) + more);
  }

  /** I43: everything that a hot reset hits has a vfio driver, and one owner. */
  private mayReset(first: Address, { rest }: ArgsOf<typeof deviceApi.hotReset>): void {
    const all = [first, ...rest.map((bdf) => `device:${bdf.replace('.', '_')}`)];
    const devices = all.map((address) => deviceAt(this.coreOf, address));
    // One that is just being restarted cannot be asked.
    if (all.some((address) => !this.coreOf(address))) return;
    const contexts = new Set(devices.flatMap((device) => device?.context ?? []));
    if (devices.includes(undefined))
      this.find(`I43: a hot reset of ${all.join(' ')} hits a function without vfio driver`);
    else if (contexts.size > 1)
      this.find(`I43: a hot reset of ${all.join(' ')} hits functions of ${contexts.size} owners`);
  }

  /** I49: one answer. */
  private mayRespond({ bdf, request }: Of<'pageResponse'>): void {
    const name = `${bdf} ${request}`;
    if (this.responses.has(name)) this.find(`I49: page request ${request} of ${bdf} is answered twice`);
    this.responses.add(name);
  }

  /** The IOMMU takes a request; it has not acted on it. */
  private arrives(method: AnyMethod, key: string, args: unknown): void {
    if (method === iommuApi.dma) this.beginDma(key, args as Of<'dma'>);
    else if (method === iommuApi.unmap) this.beginUnmap(key, args as Of<'unmap'>);
    else if (method === iommuApi.map) this.mapped(args as Of<'map'>);
    else if (method === iommuApi.dirtyTracking) this.dirty.delete((args as Of<'dirtyTracking'>).domain);
    else if (method === iommuApi.domainFree) this.dirty.delete((args as Of<'domainFree'>).domain);
    else if (method === iommuApi.dirtyRead) {
      const report = args as Of<'dirtyRead'>;
      this.reports.set(key, { args: report, written: [...(this.dirty.get(report.domain) ?? [])] });
    }
  }

  private get iommu(): Translator | undefined {
    const core = this.coreOf(IOMMU);
    return isTranslator(core) ? core : undefined;
  }

  private beginDma(key: string, args: Of<'dma'>): void {
    const first = Number(args.iova / GRANULE);
    const end = Number((args.iova + BigInt(Math.max(1, args.length)) - 1n) / GRANULE) + 1;
    const domain = this.iommu?.through(args.bdf, args.pasid);
    this.dmas.set(key, { args, domain, first, end, forbidden: false });
  }

  private beginUnmap(key: string, args: Of<'unmap'>): void {
    const hit = (dma: Dma): boolean =>
      dma.domain !== undefined &&
      args.domains.includes(dma.domain) &&
      args.spans.some(({ iova, count }) => meets(dma, iova, count));
    this.unmaps.set(key, { args, before: [...this.dmas.values()].filter(hit) });
    for (const domain of args.domains) this.forgetDirty(domain, args.spans);
  }

  /** What is mapped anew may be used again, and so may reports that are under way say less. */
  private mapped({ domains, iova, runs }: Of<'map'>): void {
    const count = runs.reduce((sum, run) => sum + run.count, 0);
    for (const dma of this.dmas.values())
      if (dma.domain !== undefined && domains.includes(dma.domain) && meets(dma, iova, count)) dma.forbidden = false;
    for (const domain of domains) this.forgetDirty(domain, [{ iova, count }]);
  }

  private forgetDirty(domain: number, spans: readonly { iova: number; count: number }[]): void {
    const dirty = this.dirty.get(domain);
    if (!dirty || dirty.size === 0) return;
    for (const page of dirty)
      if (spans.some(({ iova, count }) => page >= iova && page < iova + count)) dirty.delete(page);
  }

  private reply(from: Address, to: Address, id: number, frame: Uint8Array): void {
    const key = `${to} ${id}`;
    const method = this.asked.get(`${from} ${key}`);
    if (!method || !ANSWERED.includes(method) || this.answered.has(`${from} ${key}`)) return;
    this.answered.add(`${from} ${key}`);
    const read = <M extends AnyMethod>(of: M): ReplyOf<M> => of.reply.read(payloadOf(frame)) as ReplyOf<M>;
    if (method === pagesApi.eventfdHold) this.held(to, read(pagesApi.eventfdHold));
    else if (method === pagesApi.eventfdWatch) {
      const watched = read(pagesApi.eventfdWatch);
      if (watched.ok) this.hold(to, watched.value.event, 1);
    } else if (method === iommuApi.dma) this.endDma(key, read(iommuApi.dma));
    else if (method === iommuApi.unmap) this.endUnmap(key);
    else this.endReport(key, read(iommuApi.dirtyRead));
  }

  private held(by: Address, event: Result<number>): void {
    if (event.ok) this.hold(by, event.value, 1);
  }

  /** I52, I05: what was unmapped when it was answered is not used any more. */
  private endDma(key: string, { fault, pending }: ReplyOf<typeof iommuApi.dma>): void {
    const dma = this.dmas.get(key);
    this.dmas.delete(key);
    if (!dma || fault || pending || dma.domain === undefined) return;
    const { bdf, pasid, iova, write } = dma.args;
    // It may have gone through the domain that the function has moved to.
    const { iommu } = this;
    if (!iommu || iommu.through(bdf, pasid) !== dma.domain) return;
    if (dma.forbidden)
      this.find(
        `I52: ${bdf} has used IOVA 0x${iova.toString(16)} of domain ${dma.domain} after its unmap was answered`,
      );
    if (!write || !iommu.tracks(dma.domain)) return;
    const dirty = this.dirty.get(dma.domain) ?? new Set();
    this.dirty.set(dma.domain, dirty);
    for (let page = dma.first; page < dma.end; page++) dirty.add(page);
  }

  private endUnmap(key: string): void {
    const unmap = this.unmaps.get(key);
    this.unmaps.delete(key);
    for (const dma of unmap?.before ?? []) dma.forbidden = true;
  }

  /** I48: what was written before is in the report. */
  private endReport(key: string, bitmap: Uint8Array): void {
    const report = this.reports.get(key);
    this.reports.delete(key);
    if (!report || bitmap.length === 0) return;
    const { domain, iova, count, clear } = report.args;
    const dirty = this.dirty.get(domain);
    for (const page of report.written) {
      if (page < iova || page >= iova + count || !dirty?.has(page)) continue;
      const bit = page - iova;
      if ((bitmap[bit >> 3]! & (1 << (bit & 7))) === 0)
        this.find(`I48: page ${page} of domain ${domain} was written, and no report tells`);
      if (clear) dirty.delete(page);
    }
  }
}
