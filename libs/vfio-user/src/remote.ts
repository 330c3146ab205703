/**
 * Commands to the VMM: DMA_READ and DMA_WRITE for memory that it gave without a descriptor.
 *
 * Words: a *question* is one read or write by the device, as the lab asks it (pagesApi.remoteQuestions).
 * Rule: every question is answered: by the VMM, or as failed after `timeoutMs`, or when the connection ends. Pieces go out one
 * after another, in the order of their bytes, none longer than the VMM takes.
 */
import type { Process } from '@vfiolab/client';
import { PAGES, pagesApi, type RemoteQuestion } from '@vfiolab/core';
import { decode, encode } from '@vfiolab/uapi';
import type { Channel, Message } from './channel.js';
import type { DmaAreas } from './dma.js';
import { DMA_READ, DMA_WRITE, ERROR, HEADER_BYTES, makeMessage, TYPE_COMMAND, vfio_user_dma_access } from './wire.js';

/** How often questions are looked for that no event told of. */
const LOOK_MS = 200;
const ACCESS = vfio_user_dma_access;

interface Asked {
  readonly command: number;
  readonly settle: (reply: Uint8Array | undefined) => void;
}

export class RemoteDma {
  private readonly asked = new Map<number, Asked>();
  private readonly taken = new Set<number>();
  private nextId = 0;
  private over = false;
  private readonly unlisten: () => void;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly process: Process,
    private readonly channel: Channel,
    private readonly areas: DmaAreas,
    /** Bytes that the VMM takes in one message. */
    private readonly maxTransfer: () => number,
    private readonly timeoutMs: number,
  ) {
    this.unlisten = process.link.listen(pagesApi.remoteAsked, () => void this.look());
  }

  /** Remote memory has been mapped: events may be lost, so questions are also looked for. */
  begin(): void {
    if (this.timer || this.over) return;
    this.timer = setInterval(() => void this.look(), LOOK_MS);
    this.timer.unref();
  }

  private async look(): Promise<void> {
    const { caller } = this.process.link;
    const questions = await caller.call(PAGES, pagesApi.remoteQuestions, undefined);
    for (const question of questions) {
      if (this.over || this.taken.has(question.id)) continue;
      this.taken.add(question.id);
      void this.answer(question);
    }
  }

  private async answer(question: RemoteQuestion): Promise<void> {
    const data = await this.carryOut(question);
    await this.process.link.caller.call(PAGES, pagesApi.remoteAnswer, { id: question.id, data });
    this.taken.delete(question.id);
  }

  /** What was read, nothing for a write; undefined: it failed. */
  private async carryOut({ memory, write, offset, length, data }: RemoteQuestion): Promise<Uint8Array | undefined> {
    const read = new Uint8Array(write ? 0 : length);
    for (let at = 0; at < length;) {
      const address = this.areas.addressOf(memory, offset + at);
      if (address === undefined) return undefined;
      const count = Math.min(length - at, this.maxTransfer());
      const reply = await this.ask(write ? DMA_WRITE : DMA_READ, address, count, data.subarray(at, at + count));
      if (!reply || reply.length < ACCESS.size + (write ? 0 : count)) return undefined;
      if (!write) read.set(reply.subarray(ACCESS.size, ACCESS.size + count), at);
      at += count;
    }
    return read;
  }

  private ask(command: number, address: bigint, count: number, data: Uint8Array): Promise<Uint8Array | undefined> {
    if (this.over || this.asked.size >= 65536) return Promise.resolve(undefined);
    while (this.asked.has(this.nextId)) this.nextId = (this.nextId + 1) & 0xffff;
    const id = this.nextId;
    this.nextId = (id + 1) & 0xffff;
    const size = HEADER_BYTES + ACCESS.size + data.length;
    const message = makeMessage({ id, command, size, flags: TYPE_COMMAND, error: 0 });
    message.set(encode(ACCESS, { address, count: BigInt(count) }), HEADER_BYTES);
    message.set(data, HEADER_BYTES + ACCESS.size);
    return new Promise((resolve) => {
      const late = setTimeout(() => settle(undefined), this.timeoutMs);
      const settle = (reply: Uint8Array | undefined): void => {
        clearTimeout(late);
        this.asked.delete(id);
        resolve(reply);
      };
      this.asked.set(id, { command, settle });
      this.channel.send(message);
    });
  }

  /** A reply of the VMM; one that nobody waits for came too late, or never should have. */
  reply({ header, payload }: Message): void {
    const asked = this.asked.get(header.id);
    if (asked?.command !== header.command) return;
    const failed = (header.flags & ERROR) !== 0 || payload.length < ACCESS.size;
    asked.settle(failed || decode(ACCESS, payload).count === 0n ? undefined : payload);
  }

  /** The connection has ended: what is asked has failed. */
  end(): void {
    this.over = true;
    clearInterval(this.timer);
    this.unlisten();
    for (const { settle } of [...this.asked.values()]) settle(undefined);
  }
}
