/**
 * An NVMe controller on a bus to memory, and the least that a driver does: it fills rings, rings doorbells, and looks for
 * completions.
 *
 * Words: *queue* 0 is the admin queue, 1 the only pair for blocks; commands find their data at `DATA`.
 */
import type { Wiring } from '../model.js';
import { Nvme } from '../nvme/nvme.js';
import * as reg from '../nvme/registers.js';
import * as status from '../nvme/status.js';
import { HostBus } from './host-bus.js';

export const PAGE = 4096;
/** Pages of host memory: rings of queues 0 and 1, a PRP list, and data from there on. */
export const [ASQ, ACQ, SQ, CQ, LIST, DATA] = [1, 2, 3, 4, 5, 16].map((n) => n * PAGE) as [
  number,
  number,
  number,
  number,
  number,
  number,
];
export const MEMORY = 128 * PAGE;
export const [ADMIN_ENTRIES, IO_ENTRIES] = [8, 16];

export interface Wanted {
  readonly opcode: number;
  readonly nsid?: number;
  readonly prp1?: number;
  readonly prp2?: number;
  /** Command dwords from 10 on. */
  readonly dwords?: readonly number[];
  readonly flags?: number;
}

export class NvmeRig {
  readonly bus = new HostBus(MEMORY);
  nvme: Nvme;
  readonly view = new DataView(this.bus.memory.buffer);
  private tails = [0, 0];
  private heads = [0, 0];
  private phases = [1, 1];
  private nextId = 1;

  constructor(readonly wiring?: Wiring) {
    this.nvme = new Nvme(this.bus, wiring);
  }

  poke(offset: number, value: number, width: 4 | 8 = 4): void {
    expect(this.nvme.write(offset, width, BigInt(value)).next().done).toBe(true);
  }

  /** The rings begin anew. */
  enable(): void {
    this.bus.memory.fill(0, ASQ, LIST);
    [this.tails, this.heads, this.phases] = [
      [0, 0],
      [0, 0],
      [1, 1],
    ];
    this.poke(reg.AQA, ((ADMIN_ENTRIES - 1) << 16) | (ADMIN_ENTRIES - 1));
    this.poke(reg.ASQ, ASQ, 8);
    this.poke(reg.ACQ, ACQ, 8);
    this.poke(reg.CC, reg.CC_ENABLE | (6 << 16) | (4 << 20));
    expect(this.nvme.read(reg.CSTS, 4)).toBe(BigInt(reg.CSTS_READY));
  }

  /** Writes a command into the ring without telling of it. */
  put(queue: 0 | 1, { opcode, nsid = 1, prp1 = DATA, prp2 = 0, dwords = [], flags = 0 }: Wanted): number {
    const entries = queue === 0 ? ADMIN_ENTRIES : IO_ENTRIES;
    const at = (queue === 0 ? ASQ : SQ) + this.tails[queue]! * reg.SUBMISSION_BYTES;
    this.bus.memory.fill(0, at, at + reg.SUBMISSION_BYTES);
    this.view.setUint8(at, opcode);
    this.view.setUint8(at + 1, flags);
    this.view.setUint16(at + 2, this.nextId, true);
    this.view.setUint32(at + 4, nsid, true);
    this.view.setBigUint64(at + 24, BigInt(prp1), true);
    this.view.setBigUint64(at + 32, BigInt(prp2), true);
    dwords.forEach((value, i) => this.view.setUint32(at + 40 + 4 * i, value, true));
    this.tails[queue] = (this.tails[queue]! + 1) % entries;
    return this.nextId++;
  }

  ring(queue: 0 | 1): void {
    this.poke(reg.DOORBELLS + 8 * queue, this.tails[queue]!);
  }

  /** The next completion, if it is there. */
  take(queue: 0 | 1): { id: number; status: number; result: number } | undefined {
    const entries = queue === 0 ? ADMIN_ENTRIES : IO_ENTRIES;
    const at = (queue === 0 ? ACQ : CQ) + this.heads[queue]! * reg.COMPLETION_BYTES;
    const word = this.view.getUint16(at + 14, true);
    if ((word & 1) !== this.phases[queue]) return undefined;
    this.heads[queue] = (this.heads[queue]! + 1) % entries;
    if (this.heads[queue] === 0) this.phases[queue] = this.phases[queue]! ^ 1;
    return { id: this.view.getUint16(at + 12, true), status: word >>> 1, result: this.view.getUint32(at, true) };
  }

  acknowledge(queue: 0 | 1): void {
    this.poke(reg.DOORBELLS + 8 * queue + 4, this.heads[queue]!);
  }

  run(queue: 0 | 1, wanted: Wanted): { status: number; result: number } {
    const id = this.put(queue, wanted);
    this.ring(queue);
    const done = this.take(queue)!;
    expect(done.id).toBe(id);
    this.acknowledge(queue);
    return done;
  }

  admin = (wanted: Wanted): number => this.run(0, wanted).status;
  io = (wanted: Wanted): number => this.run(1, wanted).status;

  ready(): this {
    this.enable();
    const size = (IO_ENTRIES - 1) << 16;
    expect(this.admin({ opcode: 5, prp1: CQ, dwords: [size | 1, (3 << 16) | 3] })).toBe(status.SUCCESS);
    expect(this.admin({ opcode: 1, prp1: SQ, dwords: [size | 1, (1 << 16) | 1] })).toBe(status.SUCCESS);
    return this;
  }

  fill(at: number, length: number, seed: number): Buffer {
    for (let i = 0; i < length; i++) this.bus.memory[at + i] = (i * 7 + (i >>> 8) + seed) & 0xff;
    return Buffer.from(this.bus.memory.subarray(at, at + length));
  }

  bytes(at: number, length: number): Buffer {
    return Buffer.from(this.bus.memory.subarray(at, at + length));
  }
}
