/**
 * One DMA of a device: attachment, translation, bytes.
 *
 * Rule: it completes through the domain its group is attached to, or it is refused and recorded; there is no third
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
  type ReplyOf,
  Signal,
  wait,
  WINDOW,
} from '@vfiolab/core';
import type { Domain, Domains } from './domain.js';
import { GRANULE_BITS } from './formats.js';
import type { InFlight } from './in-flight.js';
import { isPeer, transferToPeers } from './peers.js';
import { markDirty, type Refusal, translate } from './translate.js';
import type { Unit } from './unit.js';

type DmaArgs = ArgsOf<typeof iommuApi.dma>;
type DmaReply = ReplyOf<typeof iommuApi.dma>;

const NO_BYTES = new Uint8Array(0);
const IOVA_END = 1n << 64n;
const OFFSET_MASK = (1n << BigInt(GRANULE_BITS)) - 1n;

/** DMAs with bytes on the way at one time: `pages` takes no more calls of ours than a window. */
export const MAX_DMAS = WINDOW;

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

  private attempt(args: DmaArgs): DmaReply | Op<DmaReply> {
    const domain = this.domainOf(args);
    if (typeof domain === 'string') return this.refuse(args, args.iova, domain);
    if (args.length === 0) return { data: NO_BYTES, fault: undefined };
    const page = Number(args.iova >> BigInt(GRANULE_BITS));
    const dma = { page, offset: Number(args.iova & OFFSET_MASK), length: args.length };
    const pieces = translate(domain.table, this.unit.windows, dma, args.write);
    if ('reason' in pieces) return this.refuse(args, byteAt(pieces), pieces.reason);
    if (args.write) markDirty(domain.table, dma);
    this.flying++;
    return this.transfer(domain.inFlight, domain.inFlight.begin(), pieces, args);
  }

  /** The domain that translates for the device, or the reason why none does. */
  private domainOf({ bdf, iova, write, length, data }: DmaArgs): Domain | string {
    const group = this.unit.functions.get(bdf)?.group;
    if (!group) return 'no such function';
    if (length > MAX_DMA) return `longer than ${MAX_DMA} bytes`;
    if (data.length !== (write ? length : 0)) return 'length does not match the data';
    if (iova + BigInt(length) > IOVA_END) return 'wraps around';
    if (!this.unit.format) return 'no iommu';
    if (group.attached === KERNEL) return 'kernel domain';
    if (group.attached === BLOCKING) return 'blocking';
    return this.domains.get(group.attached)!;
  }

  private refuse({ bdf, write }: DmaArgs, iova: bigint, reason: string): DmaReply {
    const fault: FaultRecord = { bdf, iova, write, reason };
    this.unit.record(fault);
    return { data: NO_BYTES, fault };
  }

  /** Moves the bytes. From its translation until `pages` answers the DMA counts as in flight. */
  private *transfer(inFlight: InFlight, ticket: number, pieces: DmaPiece[], { write, data }: DmaArgs): Op<DmaReply> {
    let read: Uint8Array = NO_BYTES;
    if (pieces.some(isPeer)) read = yield* transferToPeers(pieces, write, data);
    else if (write) yield* call(PAGES, pagesApi.dmaWrite, { pieces, data });
    else read = yield* call(PAGES, pagesApi.dmaRead, { pieces });
    inFlight.end(ticket);
    this.flying--;
    this.room.raise();
    return { data: read, fault: undefined };
  }
}

const byteAt = ({ page, offset }: Refusal): bigint => (BigInt(page) << BigInt(GRANULE_BITS)) | BigInt(offset);
