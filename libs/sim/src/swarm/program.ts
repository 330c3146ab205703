/**
 * A program of a swarm and what it has: its process, memory, and open files.
 *
 * Words: a program's *pages* are memory of its own, each with a byte that it knows; a *slot* is a page of IOVA space.
 * Rule: what a program finds wrong it reports; it goes on as far as it can.
 */
import { type Address, type FdArgument, groupsApi, GROUPS, IOMMUFD, PAGES, pagesApi, sysApi } from '@vfiolab/core';
import { ROOT } from '@vfiolab/client';
import type { KernelProfile } from '@vfiolab/uapi';
import type { Chance } from '../hunt/chance.js';
import { type Act, ask, type File } from './act.js';
import type { SwarmClient } from './client.js';
import type { Node } from './template.js';

export const PAGE = 4096;
export const PAGES_OF_MEMORY = 16;
export const SLOTS = 24;
const FIRST_IOVA = 0x100_0000n;
export const iovaOf = (slot: number): bigint => FIRST_IOVA + BigInt(slot * PAGE);

/** Registers of the engine that every function of a swarm has, where its buffer is, and config space in the file. */
const [SOURCE, DESTINATION, COUNT, COMMAND] = [0x80, 0x88, 0x90, 0x98];
const BUFFER = 0x40000n;
const [FROM_MEMORY, TO_MEMORY] = [1n, 3n];
const CONFIG_COMMAND = 7 * 2 ** 40 + 4;
/** Memory and bus master. */
const ON = Uint8Array.of(6, 0);
/** Bytes that one DMA moves. */
export const PIECE = 32;

export interface Around {
  readonly nodes: readonly Node[];
  readonly profile: KernelProfile;
  /** The run is about to end: no new session begins. */
  over(): boolean;
  find(what: string): void;
  /** Something was done that is worth counting. */
  count(what: 'calls' | 'refused' | 'foretold' | 'dma'): void;
}

/** The number under which a call's arguments name a file. */
export const naming = (fd: number, { token, owner }: File): FdArgument => ({ fd, token, owner });

export class SwarmProgram {
  va = 0;

  constructor(
    readonly around: Around,
    readonly client: SwarmClient,
    readonly chance: Chance,
    /** Which of the programs at one time it is: their bytes differ. */
    readonly family: number,
  ) {}

  /** Becomes a process with memory. */
  *begin(): Act<void> {
    yield* this.must(ask(PAGES, pagesApi.procStart, ROOT));
    const length = PAGES_OF_MEMORY * PAGE;
    this.va = yield* this.must(ask(PAGES, pagesApi.mmap, { va: 0, length, prot: 3, pageShift: 12 }));
  }

  /** The value of a call that nothing can refuse. */
  *must<T>(call: Act<{ ok: true; value: T } | { ok: false; errno: string }>): Act<T> {
    const r = yield* call;
    if (r.ok) return r.value;
    this.around.find(`${this.client.name}: ${r.errno} where nothing can be refused`);
    throw new Error(r.errno);
  }

  va64(page: number): bigint {
    return BigInt(this.va + page * PAGE);
  }

  *open(owner: Address, path: string): Act<File | undefined> {
    const r = yield* ask(owner, sysApi.open, { path, flags: 2 });
    return r.ok ? { owner, token: r.value.token, kind: r.value.kind } : undefined;
  }

  *openIommufd(): Act<File> {
    const r = yield* ask(IOMMUFD, sysApi.open, { path: '/dev/iommu', flags: 2 });
    if (!r.ok) throw new Error(`/dev/iommu: ${r.errno}`);
    return { owner: IOMMUFD, token: r.value.token, kind: r.value.kind };
  }

  /** Whoever answers for the path. */
  *openPath(path: string): Act<File | undefined> {
    const r = yield* ask(GROUPS, groupsApi.resolve, { path, flags: 2 });
    return r.ok ? yield* this.open(r.value.owner, path) : undefined;
  }

  *close({ owner, token }: File): Act<void> {
    yield* ask(owner, sysApi.close, { token });
  }

  /** Memory decoding and bus master. */
  *enable({ owner, token }: File): Act<void> {
    yield* ask(owner, sysApi.pwrite, { token, offset: CONFIG_COMMAND, data: ON });
  }

  /** A DMA between the device's buffer and an IOVA; it may be refused, and nobody is told. */
  *dma({ owner, token }: File, toMemory: boolean, iova: bigint): Act<void> {
    const write = (offset: number, value: bigint): Act<unknown> =>
      ask(owner, sysApi.pwrite, { token, offset, data: new Uint8Array(BigUint64Array.of(value).buffer) });
    yield* write(SOURCE, toMemory ? BUFFER : iova);
    yield* write(DESTINATION, toMemory ? iova : BUFFER);
    yield* write(COUNT, BigInt(PIECE));
    yield* write(COMMAND, toMemory ? TO_MEMORY : FROM_MEMORY);
    this.around.count('dma');
  }

  *fill(page: number, byte: number): Act<void> {
    const data = new Uint8Array(PIECE).fill(byte);
    yield* this.must(ask(PAGES, pagesApi.memWrite, { va: this.va + page * PAGE, data }));
  }

  *read(page: number): Act<Uint8Array> {
    return yield* this.must(ask(PAGES, pagesApi.memRead, { va: this.va + page * PAGE, length: PIECE }));
  }
}
