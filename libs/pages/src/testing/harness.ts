/**
 * A pages core on its own, for tests: every call goes through the codecs, as it would on the bus.
 *
 * Rule: after every call the invariants hold, so a test that leaves them broken fails where it broke them.
 */
import {
  type AnyMethod,
  type ArgsOf,
  ByteReader,
  ByteWriter,
  CAP_IPC_LOCK,
  CAP_SYS_RESOURCE,
  clientAddress,
  type Codec,
  IOMMUFD,
  LAB,
  type LentBytes,
  pagesApi,
  type ReplyOf,
  RLIMIT_USER,
  type Run,
  sysApi,
  type View,
  type Hugetlb,
} from '@vfiolab/core';
import type { Errno, Result } from '@vfiolab/uapi';
import { PagesCore } from '../pages-core.js';

export const PAGE = 4096;
export const RW = 3;
export const ROOT = { uid: 0, caps: CAP_IPC_LOCK | CAP_SYS_RESOURCE, memlock: 8 << 20 };

export interface Identity {
  readonly uid: number;
  readonly caps: number;
  readonly memlock: number;
}

export const value = <T>(result: Result<T>): T => {
  if (!result.ok) throw new Error(`refused with ${result.errno}`);
  return result.value;
};
/** The errno, or 0 as a system call that succeeded. */
export const errnoOf = (result: Result<unknown>): Errno | 0 => (result.ok ? 0 : result.errno);

const recoded = <T>(codec: Codec<T>, message: T): T => {
  const w = new ByteWriter();
  codec.write(w, message);
  return codec.read(new ByteReader(w.take()));
};

export class Bench {
  /** What the host's process lends. */
  readonly lent = new Map<string, LentBytes>();
  core = new PagesCore(this.lent);
  readonly events: { to: string; token: string }[] = [];
  readonly forgotten: string[] = [];
  private tokens = 0;

  constructor(frames: number, pageShift = 12, hugetlb?: Hugetlb) {
    this.join();
    this.call(LAB, pagesApi.setup, { frames, pageShift, hugetlb });
  }

  private join(): void {
    this.core.join({
      emit: (to, _method, args) => this.events.push({ to, ...(args as { token: string }) }),
      forget: (client) => this.forgotten.push(client),
      isGone: () => false,
      witnessed: () => ({ seq: 0, hash: '' }),
    });
  }

  /** A call without the audit, for loops. */
  quick<M extends AnyMethod>(from: string, method: M, args: ArgsOf<M>): ReplyOf<M> {
    const entropy = new Uint8Array(32);
    if (method.entropy) new DataView(entropy.buffer).setUint32(0, ++this.tokens);
    const row = this.core.methods.get(method.id)!;
    const reply = row.handle({ from, now: 0, entropy }, recoded(method.args, args)) as ReplyOf<M>;
    return recoded(method.reply as Codec<ReplyOf<M>>, reply);
  }

  call<M extends AnyMethod>(from: string, method: M, args: ArgsOf<M>): ReplyOf<M> {
    const reply = this.quick(from, method, args);
    const broken = this.core.check();
    if (broken.length > 0) throw new Error(`after ${method.name}: ${broken.join('; ')}`);
    return reply;
  }

  start(name: string, identity: Identity = ROOT): TestProcess {
    const client = clientAddress(name);
    value(this.call(client, pagesApi.procStart, identity));
    return new TestProcess(this, client);
  }

  gone(process: TestProcess): void {
    this.call(LAB, sysApi.clientGone, { client: process.client });
  }

  pin(store: number, first: number, count: number) {
    return this.call(IOMMUFD, pagesApi.pin, { store, first, count });
  }

  unpin(store: number, ranges: { first: number; count: number }[], release = false): void {
    this.call(IOMMUFD, pagesApi.unpin, { store, ranges, release });
  }

  bytes(view: View): Uint8Array {
    const w = new ByteWriter();
    this.core.encode(w, view);
    return w.take();
  }

  /** The core goes away, and another one comes up from its snapshot. */
  restart(): void {
    const r = new ByteReader(this.bytes('snapshot'));
    this.core = new PagesCore(this.lent);
    this.join();
    this.core.decode(r);
    r.done();
  }
}

export class TestProcess {
  constructor(
    readonly bench: Bench,
    readonly client: string,
  ) {}

  call<M extends AnyMethod>(method: M, args: ArgsOf<M>): ReplyOf<M> {
    return this.bench.call(this.client, method, args);
  }

  mmap(length: number, { prot = RW, va = 0, pageShift = 12 } = {}): number {
    return value(this.call(pagesApi.mmap, { va, length, prot, pageShift }));
  }

  mmapShared(length: number, { prot = RW, va = 0, pageShift = 12 } = {}): number {
    return value(this.call(pagesApi.mmapShared, { va, length, prot, pageShift }));
  }

  /** A memfd of `length` bytes; `flags`: MFD_*. */
  memfd(length: number, flags = 0): string {
    const token = value(this.call(pagesApi.memfdCreate, { flags }));
    value(this.call(pagesApi.ftruncate, { token, length }));
    return token;
  }

  mapFile(token: string, length: number, { prot = RW, offset = 0, va = 0 } = {}): Result<number> {
    return this.call(pagesApi.mmapFile, { token, offset, va, length, prot });
  }

  /** A child that has what this process has. */
  fork(name: string): TestProcess {
    const child = this.bench.start(name);
    value(this.call(pagesApi.fork, { child: child.client }));
    return child;
  }

  munmap(va: number, length: number): Errno | 0 {
    return errnoOf(this.call(pagesApi.munmap, { va, length }));
  }

  write(va: number, text: string): Errno | 0 {
    return errnoOf(this.call(pagesApi.memWrite, { va, data: new TextEncoder().encode(text) }));
  }

  read(va: number, length: number): string {
    return new TextDecoder().decode(value(this.call(pagesApi.memRead, { va, length })));
  }

  status() {
    return value(this.call(pagesApi.status, undefined));
  }

  /** VmLck and VmPin in kB, as the traces print them. */
  locks(): [number, number] {
    const { vmLockedKb, vmPinnedKb } = this.status();
    return [vmLockedKb, vmPinnedKb];
  }

  /** IOMMU_IOAS_MAP as pages sees it. */
  store(va: number | bigint, length: number | bigint, { writable = true, rlimitMode = RLIMIT_USER, pin = true } = {}) {
    return this.bench.call(IOMMUFD, pagesApi.storeCreate, {
      client: this.client,
      va: BigInt(va),
      length: BigInt(length),
      writable,
      rlimitMode,
      pin,
    });
  }

  /** IOMMU_IOAS_MAP_FILE as pages sees it. */
  fileStore(
    token: string | undefined,
    start: number,
    length: number,
    { writable = true, rlimitMode = RLIMIT_USER, pin = true } = {},
  ) {
    return this.bench.call(IOMMUFD, pagesApi.storeCreateFile, {
      client: this.client,
      token,
      start: BigInt(start),
      length: BigInt(length),
      writable,
      rlimitMode,
      pin,
    });
  }
}

export const framesOf = (runs: readonly Run[]): number[] =>
  runs.flatMap(({ frame, count }) => Array.from({ length: count }, (_, i) => frame + i));

/** A small deterministic generator for property tests: numbers below `n`. */
export function dice(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * n);
  };
}
