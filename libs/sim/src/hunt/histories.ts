/**
 * Makes histories: clients that share one open /dev/iommu and one IOAS, and map, unmap and copy in each other's way.
 *
 * Rule: each client has one call under way at a time; the messages take as long as the seed says.
 */
import { type IoctlArgs, IOMMUFD, type IoctlReply, PAGES, pagesApi, sysApi } from '@vfiolab/core';
import { ROOT } from '@vfiolab/client';
import {
  decode,
  encode,
  errnoName,
  type IoctlDef,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  type Result,
} from '@vfiolab/uapi';
import { STRUCT_AT } from './arguments.js';
import type { Answer, Call } from './areas-model.js';
import { Chance } from './chance.js';
import type { Event } from './linearise.js';
import { advance, SyncClient } from './sync-client.js';
import { APERTURE, type World } from './world.js';

const PAGE = 4096;
/** Slots that the calls fight for; a call takes at most LONGEST of them. */
const SLOTS = 12;
const LONGEST = 4;
const FIXED_RW = 7;
/** Between two calls of a client, ms. */
const PAUSE_MS = 1;

export interface HistoryOptions {
  readonly world: World;
  readonly seed: number;
  readonly clients: number;
  /** Calls of each client. */
  readonly calls: number;
  /** A device is attached: memory is pinned and page tables are written. */
  readonly attached: boolean;
}

export interface Recorded {
  readonly history: readonly Event[];
  /** Broken invariants, whenever nothing was under way. */
  readonly broken: readonly string[];
}

interface Member {
  readonly client: SyncClient;
  readonly token: string;
  readonly va: number;
}

/** Runs the clients until all have made their calls, and everything is unmapped and closed. */
export function record(options: HistoryOptions): Recorded {
  return new Recorder(options).run();
}

function must<T>(r: Result<T>): T {
  if (!r.ok) throw new Error(`the hunt's own call failed: ${r.errno}`);
  return r.value;
}

class Recorder {
  private readonly events: Event[] = [];
  private readonly broken = new Set<string>();
  private readonly chance: Chance;
  private readonly members: readonly Member[];
  private time = 0;
  private left = 0;

  constructor(private readonly options: HistoryOptions) {
    const { seed, clients } = options;
    this.chance = new Chance(seed);
    const opener = this.join(`history${seed}-0`);
    const { token } = must(opener.client.call(IOMMUFD, sysApi.open, { path: '/dev/iommu', flags: 2 }));
    const others = Array.from({ length: clients - 1 }, (_, n) => this.join(`history${seed}-${n + 1}`));
    const granted = others.map((each) => {
      const file = opener.client.call(IOMMUFD, sysApi.grant, { token, to: each.client.address });
      return { ...each, token: must(file).token };
    });
    this.members = [{ ...opener, token }, ...granted];
  }

  private join(name: string): Omit<Member, 'token'> {
    const client = new SyncClient(this.options.world.host.host, name);
    must(client.call(PAGES, pagesApi.procStart, ROOT));
    const memory = { va: 0, length: LONGEST * PAGE, prot: 3, pageShift: 12 };
    return { client, va: must(client.call(PAGES, pagesApi.mmap, memory)) };
  }

  run(): Recorded {
    const { world, attached, calls } = this.options;
    this.prepare(IOMMU_IOAS_ALLOC, {});
    if (attached) this.prepare(IOMMU_TEST_CMD, { op: IOMMU_TEST_OP_MOCK_DOMAIN, id: 1, u: new Uint8Array(48) });
    this.left = this.members.length;
    this.members.forEach((_, n) => this.next(n, calls));
    advance(world.host.host, () => this.left === 0, 'a history');
    // What is there in the end is part of the history.
    this.left = 1;
    this.make(0, { kind: 'unmap', at: 0, count: SLOTS, from: 0 }, () => void this.left--);
    advance(world.host.host, () => this.left === 0, 'the last call');
    for (const { client, token } of this.members) must(client.call(IOMMUFD, sysApi.close, { token }));
    return { history: this.events, broken: [...this.broken, ...world.wrong()] };
  }

  /** A call of the first client before the history begins. */
  private prepare(def: unknown, fields: Record<string, unknown>): void {
    const [{ client, token }] = this.members as [Member];
    const reply = client.call(IOMMUFD, sysApi.ioctl, ioctlOf(token, def as IoctlDef, fields));
    if (reply.errno !== 0) throw new Error(`the hunt's own call failed: ${errnoName(reply.errno)}`);
  }

  /** After a while client `n` makes its next call, until it has made enough. */
  private next(n: number, left: number): void {
    if (left === 0) return void this.left--;
    const pause = (this.chance.below(100) / 100) * PAUSE_MS;
    const { agenda } = this.options.world.host.host;
    agenda.after(pause, () => this.make(n, this.choose(), () => this.next(n, left - 1)));
  }

  private choose(): Call {
    const { chance } = this;
    const count = 1 + chance.below(LONGEST);
    const slot = (): number => chance.below(SLOTS - count + 1);
    return { kind: chance.pick(['map', 'map', 'unmap', 'unmap', 'copy']), at: slot(), count, from: slot() };
  }

  private make(n: number, call: Call, then: () => void): void {
    const { client, token, va } = this.members[n]!;
    const made = this.time++;
    client.send(IOMMUFD, sysApi.ioctl, argumentsOf(call, token, va), (reply) => {
      this.events.push({ client: n, call, answer: answerOf(call, reply), made, answered: this.time++ });
      this.check();
      then();
    });
  }

  /** Invariants are promised when nothing is under way. */
  private check(): void {
    const { world } = this.options;
    if (!world.idle) return;
    for (const each of world.broken()) this.broken.add(each);
  }
}

function ioctlOf(token: string, def: IoctlDef, fields: Record<string, unknown>): IoctlArgs {
  const bytes = encode(def.struct, { size: def.struct.size, ...fields });
  return { token, cmd: def.nr, arg: STRUCT_AT, segments: [{ va: STRUCT_AT, writable: true, bytes }], fds: [] };
}

const iovaOf = (slot: number): bigint => APERTURE + BigInt(slot * PAGE);

/** The IOAS is object 1. */
function argumentsOf({ kind, at, count, from }: Call, token: string, va: number): IoctlArgs {
  const [iova, length] = [iovaOf(at), BigInt(count * PAGE)];
  const ioctl = (def: unknown, fields: Record<string, unknown>): IoctlArgs => ioctlOf(token, def as IoctlDef, fields);
  if (kind === 'unmap') return ioctl(IOMMU_IOAS_UNMAP, { ioas_id: 1, iova, length });
  if (kind === 'map') return ioctl(IOMMU_IOAS_MAP, { ioas_id: 1, flags: FIXED_RW, iova, length, user_va: BigInt(va) });
  const places = { src_ioas_id: 1, dst_ioas_id: 1, src_iova: iovaOf(from), dst_iova: iova };
  return ioctl(IOMMU_IOAS_COPY, { flags: FIXED_RW, length, ...places });
}

function answerOf({ kind }: Call, { errno, writes }: IoctlReply): Answer {
  const removed = kind === 'unmap' && errno === 0 ? decode(IOMMU_IOAS_UNMAP.struct, writes[0]!.bytes).length : 0n;
  return { errno: errnoName(errno), slots: Number(removed) / PAGE };
}
