/** A bus to memory behind IOVA 0; requests outside of it do not get through. */
import type { Op } from '@vfiolab/core';
import type { ModelBus } from '../model.js';

export class HostBus implements ModelBus {
  readonly memory: Uint8Array;
  readonly raised: number[] = [];
  lowered = 0;
  /** DMA requests so far. */
  requests = 0;
  /** Looks at the device while a transfer is under way. */
  during: () => void = () => undefined;

  constructor(bytes = 65536) {
    this.memory = new Uint8Array(bytes);
  }

  *dmaRead(iova: bigint, length: number): Op<Uint8Array | undefined> {
    this.requests++;
    this.during();
    const at = Number(iova);
    return at + length <= this.memory.length ? this.memory.slice(at, at + length) : undefined;
  }

  *dmaWrite(iova: bigint, data: Uint8Array): Op<boolean> {
    this.requests++;
    this.during();
    if (Number(iova) + data.length > this.memory.length) return false;
    this.memory.set(data, Number(iova));
    return true;
  }

  *raise(vector: number): Op<void> {
    this.raised.push(vector);
  }

  interrupts: 'pin' | 'msi' | 'msix' = 'pin';

  /** Frames that were sent, with their ports. */
  readonly sent: { readonly frame: Uint8Array; readonly port: number }[] = [];

  *transmit(frame: Uint8Array, port = 0): Op<void> {
    this.sent.push({ frame, port });
  }

  /** Notes, with their ports. */
  readonly notes: { readonly note: Uint8Array; readonly port: number }[] = [];

  *notify(note: Uint8Array, port = 0): Op<void> {
    this.notes.push({ note, port });
  }

  /** Who is at the end of the ports; nobody, when it is not said. */
  answers: (question: Uint8Array, port: number) => Uint8Array = () => new Uint8Array(0);

  *ask(question: Uint8Array, port = 0): Op<Uint8Array> {
    return this.answers(question, port);
  }

  lower(): void {
    this.lowered++;
  }

  /** Work that waits, with how long it has to. */
  readonly planned: { readonly ms: number; readonly work: () => Op<void>; readonly dropped: () => void }[] = [];

  *later(ms: number, work: () => Op<void>, dropped: () => void = () => undefined): Op<void> {
    this.planned.push({ ms, work, dropped });
  }

  /** Does the work that was planned first. Answers how long it had to wait. */
  pass(): number {
    const { ms, work } = this.planned.shift()!;
    expect(work().next().done).toBe(true);
    return ms;
  }
}
