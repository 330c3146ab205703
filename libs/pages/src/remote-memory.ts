/**
 * DMA to memory that a client has outside of the lab (foreign-frames.ts): the client is asked, and the DMA waits.
 *
 * Words: a *question* is one read or write of consecutive bytes of one such memory; the client takes the list of its open
 * questions and answers each by its number.
 * Rule: every question ends: by an answer, or when its client goes. Without one, reads give ones and writes are lost, as on
 * a bus where nobody answers. The event that there is a question may be lost; the list is never.
 */
import { type Address, type Op, pagesApi, type RemoteQuestion, Signal, wait } from '@vfiolab/core';
import { PAGE } from './page.js';
import type { MemoryFiles } from './memory-files.js';

/** Questions of all clients that are open at one time; what comes on top is not answered. */
export const MAX_QUESTIONS = 1024;

interface Open {
  readonly client: Address;
  readonly question: RemoteQuestion;
  readonly settled: Signal;
  over: boolean;
  /** What was read; undefined: nobody answered. */
  answer: Uint8Array | undefined;
}

export class RemoteMemory {
  private readonly open = new Map<number, Open>();
  private nextId = 1;

  constructor(
    private readonly files: MemoryFiles,
    private readonly tell: (client: Address, method: typeof pagesApi.remoteAsked, args: undefined) => void,
  ) {}

  /** Open questions. */
  get size(): number {
    return this.open.size;
  }

  *read(memory: number, offset: number, length: number): Op<Uint8Array> {
    const answer = yield* this.ask({ memory, write: false, offset, length, data: new Uint8Array(0) });
    return answer?.length === length ? answer : new Uint8Array(length).fill(0xff);
  }

  *write(memory: number, offset: number, data: Uint8Array): Op<void> {
    yield* this.ask({ memory, write: true, offset, length: data.length, data });
  }

  private *ask(what: Omit<RemoteQuestion, 'id'>): Op<Uint8Array | undefined> {
    const foreign = this.files.byId(what.memory)?.foreign;
    if (!foreign || !('client' in foreign) || this.open.size >= MAX_QUESTIONS) return undefined;
    const id = this.nextId++;
    const { client } = foreign;
    const open: Open = { client, question: { id, ...what }, settled: new Signal(), over: false, answer: undefined };
    this.open.set(id, open);
    this.tell(client, pagesApi.remoteAsked, undefined);
    while (!open.over) yield* wait(open.settled);
    return open.answer;
  }

  /** The client's open questions, oldest first. */
  questionsOf(client: Address): RemoteQuestion[] {
    return [...this.open.values()].filter((each) => each.client === client).map(({ question }) => question);
  }

  /** A question that is not open, or another client's, was answered already: nothing happens. */
  answer(client: Address, id: number, data: Uint8Array | undefined): void {
    const open = this.open.get(id);
    if (open?.client === client) this.settle(open, data);
  }

  clientGone(client: Address): void {
    for (const open of [...this.open.values()]) if (open.client === client) this.settle(open, undefined);
  }

  private settle(open: Open, data: Uint8Array | undefined): void {
    this.open.delete(open.question.id);
    open.over = true;
    open.answer = data;
    open.settled.raise();
  }
}

/** Bytes that one stretch of a DMA has in one remote memory, or in none. */
export interface Stretch {
  readonly at: number;
  readonly length: number;
  readonly frame: number;
  readonly offset: number;
  readonly place: { memory: number; offset: number } | undefined;
}

/** The piece in stretches, each all in one remote memory or all outside of any. */
export function* stretches(
  { frame, offset, length }: { frame: number; offset: number; length: number },
  placeOf: (frame: number) => { memory: number; offset: number; frames: number } | undefined,
): IterableIterator<Stretch> {
  for (let at = 0; at < length;) {
    const first = frame + Math.floor((offset + at) / PAGE);
    const inFrame = (offset + at) % PAGE;
    const remote = placeOf(first);
    const part = Math.min(length - at, (remote?.frames ?? 1) * PAGE - inFrame);
    const place = remote && { memory: remote.memory, offset: remote.offset + inFrame };
    yield { at, length: part, frame: first, offset: inFrame, place };
    at += part;
  }
}
