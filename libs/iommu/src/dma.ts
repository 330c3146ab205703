/**
 * One DMA of a device: attachment, translation, bytes.
 *
 * Words: the *target* of a DMA is the domain that its requester id or its PASID is attached to.
 * Rule: it completes through that domain, or it is refused and recorded, or its device waits for a page; there is no other
 * outcome (I01, I07). The kernel's own domain is none of a user's: DMA of a device that is in it is refused.
 */
import {
  type ArgsOf,
  BLOCKING,
  call,
  type DmaPiece,
  type FaultRecord,
  type iommuApi,
  KERNEL,
  isOp,
  MAX_DMA,
  type Op,
  PAGES,
  pagesApi,
  PE_DMA,
  type ReplyOf,
  Signal,
  wait,
  WINDOW,
} from '@vfiolab/core';
import type { Domain, Domains } from './domain.js';
import { ringsDoorbell } from './doorbell.js';
import { freeze, FROZEN } from './endpoint-errors.js';
import { GRANULE_BITS } from './formats.js';
import { type IommuFunction, makesRequests } from './function.js';
import { guestPages } from './guest-dma.js';
import { reportGuestFault } from './guest-events.js';
import { isPeer, transferToPeers } from './peers.js';
import { requestPage } from './page-requests.js';
import { markDirty, markStretch, MSI, msiPageIn, OUTSIDE, type Refusal, type Stretch, translate } from './translate.js';
import type { Unit } from './unit.js';

type DmaArgs = ArgsOf<typeof iommuApi.dma>;
type DmaReply = ReplyOf<typeof iommuApi.dma>;

const NO_BYTES = new Uint8Array(0);
const IOVA_END = 1n << 64n;
const OFFSET_MASK = (1n << BigInt(GRANULE_BITS)) - 1n;

const MESSAGE_BYTES = 4;

/** DMAs with bytes on the way at one time: `pages` takes no more calls of ours than a window. */
export const MAX_DMAS = WINDOW;

/** Where the DMA goes: the domain, and whether a user answers page requests. */
interface Target {
  readonly device: IommuFunction;
  readonly domain: Domain;
  readonly faults: boolean;
}

export class Dma {
  private flying = 0;
  private readonly room = new Signal();

  constructor(
    private readonly unit: Unit,
    private readonly domains: Domains,
  ) {}

  /** A DMA beyond MAX_DMAS waits, untranslated, until one of those before it has landed. */
  start(args: DmaArgs): DmaReply | Op<DmaReply> {
    return this.flying < MAX_DMAS ? this.attempt(args) : this.queue(args);
  }

  private *queue(args: DmaArgs): Op<DmaReply> {
    while (this.flying >= MAX_DMAS) yield* wait(this.room);
    const answer = this.attempt(args);
    return isOp(answer) ? yield* answer : answer;
  }

  /** A message of 4 bytes; whether something takes it in. */
  *message(bdf: string, iova: bigint): Op<boolean> {
    const started = this.start({ bdf, iova, write: true, length: MESSAGE_BYTES, data: new Uint8Array(MESSAGE_BYTES) });
    const { fault, pending } = isOp(started) ? yield* started : started;
    return !fault && !pending;
  }

  /** A device asks for one page again and again, and goes on with no answer. Where nobody answers it has had its answer. */
  *flood({ count, ...wanted }: ArgsOf<typeof iommuApi.pageFlood>): Op<void> {
    const args = { ...wanted, length: 0, data: NO_BYTES };
    for (let i = 0; i < count; i++) {
      const target = this.targetOf(args);
      if (typeof target === 'string' || !target.faults) return;
      yield* requestPage(target.device, args, target.domain.id, wanted.iova, true);
    }
  }

  private attempt(args: DmaArgs): DmaReply | Op<DmaReply> {
    const target = this.targetOf(args);
    if (typeof target === 'string') return this.refuse(args, args.iova, target);
    if (args.length === 0) return done(NO_BYTES);
    const dma = stretchOf(args);
    const msi = msiPageIn(this.unit.msi, dma);
    if (msi !== undefined) return this.refuse(args, msi === dma.page ? args.iova : addressOf(msi), MSI);
    if (ringsDoorbell(this.unit, target.domain, dma)) return done(new Uint8Array(args.write ? 0 : args.length));
    const { guest } = target.domain.nested ?? {};
    if (guest) return this.throughGuest(args, target, dma);
    const pieces = translate(target.domain, dma, args.write);
    if ('reason' in pieces) return this.missed(args, target, pieces);
    if (args.write) markStretch(target.domain.table, dma);
    return this.transfer([target.domain], pieces, args);
  }

  /** The domain that translates for the device, or the reason why none does. */
  private targetOf({ bdf, iova, write, length, data, pasid }: DmaArgs): Target | string {
    const device = this.unit.functions.get(bdf);
    if (!device) return 'no such function';
    if (length > MAX_DMA) return `longer than ${MAX_DMA} bytes`;
    if (data.length !== (write ? length : 0)) return 'length does not match the data';
    if (iova + BigInt(length) > IOVA_END) return 'wraps around';
    if (!this.unit.driver) return 'no iommu';
    if (device.parked) return 'being reset';
    const own = pasid === undefined ? undefined : device.pasids.get(pasid);
    const asks = makesRequests(device, this.unit.driver);
    if (own) return { device, domain: this.domains.get(own.domain)!, faults: own.faults && asks };
    const { attached, faults, frozen } = device.group;
    if (frozen & PE_DMA) return FROZEN;
    const domain = this.domains.get(attached);
    // A guest that has contexts of its own keeps its PASIDs itself.
    if (pasid !== undefined && !domain?.nested?.guest?.contextBits) return 'no such pasid';
    if (attached === KERNEL) return 'kernel domain';
    if (attached === BLOCKING) return 'blocking';
    return { device, domain: domain!, faults: faults && asks };
  }

  /** Guest memory is read on the way; the translation is used only while it stands. */
  private *throughGuest(args: DmaArgs, first: Target, dma: Stretch): Op<DmaReply> {
    const access = { write: args.write, pasid: args.pasid ?? 0 };
    for (let target: Target | string = first; ; target = this.targetOf(args)) {
      if (typeof target === 'string') return this.refuse(args, args.iova, target);
      const guest = target.domain.nested?.guest;
      if (!guest || target.domain !== first.domain) return yield* this.again(args);
      const parent = this.domains.get(target.domain.nested!.parent)!;
      const pages = yield* guestPages(guest, parent, dma, access, (op) => this.inRoom(op));
      const now = this.targetOf(args);
      if (pages === 'stale' || typeof now === 'string' || now.domain !== target.domain) continue;
      if (pages === 'silent') return this.refuse(args, args.iova, 'aborted by the guest');
      if ('fault' in pages) {
        if (!now.faults && guest.format === 'smmu') yield* reportGuestFault(args, pages);
        return yield* this.requestOrRefuse(args, now, { ...pages, reason: pages.fault.reason });
      }
      const through = { ...dma, page: pages[0]! };
      if (ringsDoorbell(this.unit, parent, through)) return done(new Uint8Array(args.write ? 0 : args.length));
      const pieces = translate(parent, dma, args.write, pages);
      if ('reason' in pieces)
        return yield* this.requestOrRefuse(args, now, { ...pieces, reason: `second stage: ${pieces.reason}` });
      if (args.write) markDirty(parent.table, pages);
      return yield* this.transfer([target.domain, parent], pieces, args);
    }
  }

  private *again(args: DmaArgs): Op<DmaReply> {
    const answer = this.attempt(args);
    return isOp(answer) ? yield* answer : answer;
  }

  /** A page that is missing is asked for, when somebody answers; anything else is refused at once. */
  private missed(args: DmaArgs, target: Target, refusal: Refusal): DmaReply | Op<DmaReply> {
    if (!target.faults || refusal.reason === OUTSIDE) return this.refuse(args, byteAt(refusal), refusal.reason);
    return this.requestOrRefuse(args, target, refusal);
  }

  private *requestOrRefuse(args: DmaArgs, { device, domain, faults }: Target, refusal: Refusal): Op<DmaReply> {
    const asked = faults ? yield* requestPage(device, args, domain.id, byteAt(refusal)) : 'refused';
    if (asked === 'again') return yield* this.again(args);
    if (asked === 'pending') return { ...done(NO_BYTES), pending: true };
    return this.refuse(args, byteAt(refusal), refusal.reason);
  }

  private refuse({ bdf, write, pasid }: DmaArgs, iova: bigint, reason: string): DmaReply {
    const fault: FaultRecord = { bdf, iova, write, reason, pasid };
    this.unit.record(fault);
    const group = this.unit.functions.get(bdf)?.group;
    if (group) freeze(this.unit, group);
    return { data: NO_BYTES, fault, pending: undefined };
  }

  /** Moves the bytes. From its translation until `pages` answers the DMA counts as in flight, in each of the domains. */
  private *transfer(through: readonly Domain[], pieces: DmaPiece[], { write, data }: DmaArgs): Op<DmaReply> {
    const tickets = through.map(({ inFlight }) => [inFlight, inFlight.begin()] as const);
    const read = yield* this.inRoom(bytesOf(pieces, write, data));
    for (const [inFlight, ticket] of tickets) inFlight.end(ticket);
    return done(read);
  }

  /** Access to memory takes room while it is under way. */
  private *inRoom<T>(access: Op<T>): Op<T> {
    while (this.flying >= MAX_DMAS) yield* wait(this.room);
    this.flying++;
    const result = yield* access;
    this.flying--;
    this.room.raise();
    return result;
  }
}

const done = (data: Uint8Array): DmaReply => ({ data, fault: undefined, pending: undefined });

function* bytesOf(pieces: DmaPiece[], write: boolean, data: Uint8Array): Op<Uint8Array> {
  if (pieces.some(isPeer)) return yield* transferToPeers(pieces, write, data);
  if (!write) return yield* call(PAGES, pagesApi.dmaRead, { pieces });
  yield* call(PAGES, pagesApi.dmaWrite, { pieces, data });
  return NO_BYTES;
}

const stretchOf = ({ iova, length }: DmaArgs): Stretch => ({
  page: Number(iova >> BigInt(GRANULE_BITS)),
  offset: Number(iova & OFFSET_MASK),
  length,
});
const addressOf = (page: number): bigint => BigInt(page) << BigInt(GRANULE_BITS);
const byteAt = ({ page, offset }: Omit<Refusal, 'reason'>): bigint => addressOf(page) | BigInt(offset);
