/**
 * A driver of an NVMe disk without a guest: a VMM whose program is the driver itself. For measurements and tests.
 *
 * Words: a *step* is one message to the device, or a look at memory again; *work* is what is done, step by step, and is carried
 * out by who can wait (Pinger.run) or may not (VfioUserClient.run). A *slot* is a page of data with its command, and the
 * command's id.
 * Rule: it does what drivers of operating systems do (NVM Express Base 1.4, section 7.6.1): admin queue, then one queue pair,
 * doorbells as posted writes, completions by their phase bit. A status that is not success is an error.
 */
import { encode, vfio_irq_set, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD } from '@vfiolab/uapi';
import { native } from './native.js';
import { SharedMemory } from './shared-memory.js';
import * as wire from './wire.js';

export interface Step {
  /** Header and payload. */
  readonly message: Uint8Array;
  readonly fds?: readonly number[];
  /** False: a posted write, which nobody answers. */
  readonly answered: boolean;
}
/** Undefined: what is waited for is not there yet. Each step is answered with the reply's payload. */
export type Work<T> = Generator<Step | undefined, T, Uint8Array>;

export type Way = 'polling' | 'eventfd';

const PAGE = 4096;
/** Entries of a queue: as many as a page of commands has. */
export const ENTRIES = 64;
const [COMMAND, COMPLETION] = [64, 16];
/** Where things are in the memory that is shared. */
const [ADMIN_COMMANDS, ADMIN_COMPLETIONS, COMMANDS, COMPLETIONS, DATA] = [0, 1, 2, 3, 4].map((page) => page * PAGE);
const MEMORY = DATA! + ENTRIES * PAGE;
/** Where the device finds it. */
const IOVA = 0x1000_0000n;

const [BAR0, CONFIG] = [0, 7];
const [CC, CSTS, AQA, ASQ, ACQ, DOORBELLS] = [0x14, 0x1c, 0x24, 0x28, 0x30, 0x1000];
/** Enabled, commands of 64 and completions of 16 bytes. */
const ENABLE = 0x0046_0001;
const [CREATE_SQ, CREATE_CQ] = [1, 5];
export const WRITE = 1;
export const READ = 2;
const [CONTIGUOUS, INTERRUPTS] = [1, 2];
const MSIX = 2;

function message(command: number, payload: Uint8Array, flags = wire.TYPE_COMMAND): Uint8Array {
  const bytes = wire.makeMessage({ id: 1, command, size: wire.HEADER_BYTES + payload.length, flags, error: 0 });
  bytes.set(payload, wire.HEADER_BYTES);
  return bytes;
}

const access = (region: number, offset: number, count: number): Uint8Array =>
  encode(wire.vfio_user_region_access, { offset: BigInt(offset), region, count });

function written(region: number, offset: number, data: Uint8Array, flags = wire.TYPE_COMMAND): Uint8Array {
  const payload = new Uint8Array(wire.vfio_user_region_access.size + data.length);
  payload.set(access(region, offset, data.length));
  payload.set(data, wire.vfio_user_region_access.size);
  return message(wire.REGION_WRITE, payload, flags);
}

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

/** One queue pair: where the driver is in it, and its doorbells. */
class Queue {
  private tail = 0;
  private head = 0;
  private phase = 1;
  private readonly submitted: Step;
  private readonly taken: Step;
  private readonly entry = new Uint8Array(COMPLETION);

  constructor(
    private readonly ram: SharedMemory,
    private readonly commands: number,
    private readonly completions: number,
    id: number,
  ) {
    const doorbell = (n: number): Step => ({
      message: written(BAR0, DOORBELLS! + 4 * n, u32(0), wire.NO_REPLY),
      answered: false,
    });
    [this.submitted, this.taken] = [doorbell(2 * id), doorbell(2 * id + 1)];
  }

  /** Puts a command into the ring; the device does not know yet. */
  put(command: Uint8Array): void {
    this.ram.write(this.commands + this.tail * COMMAND, command);
    this.tail = (this.tail + 1) % ENTRIES;
  }

  *ring(): Work<void> {
    yield told(this.submitted, this.tail);
  }

  /** Ids of commands that have ended, at most `most`; the device is told that they were seen. */
  *reap(most: number): Work<number[]> {
    const ids: number[] = [];
    for (const { entry } = this; ids.length < most;) {
      this.ram.readInto(this.completions + this.head * COMPLETION, entry);
      const status = wire.u16At(entry, 14);
      if ((status & 1) !== this.phase) break;
      if (status >>> 1 !== 0) throw new Error(`a command ended with status 0x${(status >>> 1).toString(16)}`);
      ids.push(wire.u16At(entry, 12));
      this.head = (this.head + 1) % ENTRIES;
      if (this.head === 0) this.phase ^= 1;
    }
    if (ids.length > 0) yield told(this.taken, this.head);
    return ids;
  }
}

const DOORBELL_DATA = wire.HEADER_BYTES + wire.vfio_user_region_access.size;
function told(step: Step, value: number): Step {
  wire.putU32(step.message, DOORBELL_DATA, value);
  return step;
}

export class NvmeDriver {
  readonly ram = new SharedMemory(MEMORY);
  private readonly admin = new Queue(this.ram, ADMIN_COMMANDS!, ADMIN_COMPLETIONS!, 0);
  private readonly io = new Queue(this.ram, COMMANDS!, COMPLETIONS!, 1);
  private readonly event = native().eventfd();
  private readonly slots = Array.from({ length: ENTRIES }, (_, i) => {
    const command = new Uint8Array(COMMAND);
    wire.putU16(command, 2, i);
    wire.putU32(command, 4, 1);
    command.set(u64(IOVA + BigInt(this.dataAt(i))), 24);
    wire.putU32(command, 48, PAGE / 512 - 1);
    return command;
  });

  constructor(
    private readonly way: Way = 'polling',
    /** Which kind of interrupts the function has, as VFIO numbers them. */
    private readonly interrupts = MSIX,
  ) {}

  /** Where a slot's page is in the memory. */
  dataAt(slot: number): number {
    return DATA! + slot * PAGE;
  }

  /** Gives the function the memory, and lets it use it. */
  *attach(): Work<void> {
    const map = { argsz: 32, flags: 3, offset: 0n, address: IOVA, size: BigInt(MEMORY) };
    yield {
      message: message(wire.DMA_MAP, encode(wire.vfio_user_dma_map, map)),
      fds: [this.ram.fd],
      answered: true,
    };
    // Memory and bus master.
    yield* this.store(CONFIG, 4, Uint8Array.of(6, 0));
    if (this.way === 'eventfd') yield* this.enableInterrupts();
  }

  /** From a function as after power-on to a queue pair for commands. */
  *start(): Work<void> {
    yield* this.attach();
    yield* this.store(BAR0, AQA!, u32(((ENTRIES - 1) << 16) | (ENTRIES - 1)));
    yield* this.store(BAR0, ASQ!, u64(IOVA + BigInt(ADMIN_COMMANDS!)));
    yield* this.store(BAR0, ACQ!, u64(IOVA + BigInt(ADMIN_COMPLETIONS!)));
    yield* this.store(BAR0, CC!, u32(ENABLE));
    while ((yield* this.load(CSTS!)) !== 1) yield undefined;
    const interrupts = this.way === 'eventfd' ? INTERRUPTS : 0;
    yield* this.create(CREATE_CQ!, COMPLETIONS!, CONTIGUOUS! | interrupts);
    yield* this.create(CREATE_SQ!, COMMANDS!, CONTIGUOUS! | (1 << 16));
  }

  private *enableInterrupts(): Work<void> {
    const flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    const set = encode(vfio_irq_set, { argsz: vfio_irq_set.size, flags, index: this.interrupts, start: 0, count: 1 });
    yield { message: message(wire.DEVICE_SET_IRQS, set), fds: [this.event], answered: true };
  }

  private *create(opcode: number, at: number, flags: number): Work<void> {
    const command = new Uint8Array(COMMAND);
    command[0] = opcode;
    command.set(u64(IOVA + BigInt(at)), 24);
    wire.putU32(command, 40, ((ENTRIES - 1) << 16) | 1);
    wire.putU32(command, 44, flags);
    this.admin.put(command);
    yield* this.admin.ring();
    while ((yield* this.admin.reap(1)).length === 0) yield undefined;
  }

  private *store(region: number, offset: number, data: Uint8Array): Work<void> {
    yield { message: written(region, offset, data), answered: true };
  }

  private *load(offset: number): Work<number> {
    const reply = yield { message: message(wire.REGION_READ, access(BAR0!, offset, 4)), answered: true };
    return wire.u32At(reply, wire.vfio_user_region_access.size);
  }

  /**
   * Moves `count` pages, as many at a time as `depth` says. `block`: the page of the disk, for each. `done`: what is to be done with
   * a slot whose page has come, or gone.
   */
  *move(
    opcode: number,
    count: number,
    depth: number,
    block: (i: number) => number,
    done: (slot: number, i: number) => void = () => undefined,
  ): Work<void> {
    const at = new Int32Array(ENTRIES);
    const free = Array.from({ length: Math.min(depth, count) }, (_, slot) => slot);
    let begun = 0;
    for (let ended = 0; ended < count;) {
      const before = begun;
      for (; begun < count && free.length > 0; begun++) {
        const slot = free.pop()!;
        at[slot] = begun;
        this.submit(slot, opcode, block(begun));
      }
      if (begun > before) yield* this.io.ring();
      const ids = yield* this.wait(depth);
      for (const slot of ids) done(slot, at[slot]!);
      free.push(...ids);
      ended += ids.length;
    }
  }

  private submit(slot: number, opcode: number, page: number): void {
    const command = this.slots[slot]!;
    command[0] = opcode;
    wire.putU32(command, 40, page * (PAGE / 512));
    this.io.put(command);
  }

  private *wait(most: number): Work<number[]> {
    for (;;) {
      if (this.way === 'eventfd') while (native().eventRead(this.event) < 0) yield undefined;
      const ids = yield* this.io.reap(most);
      if (ids.length > 0) return ids;
      yield undefined;
    }
  }

  free(): void {
    native().close(this.event);
    this.ram.free();
  }
}
