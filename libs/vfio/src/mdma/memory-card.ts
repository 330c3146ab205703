/**
 * A mediated device of the lab's own whose registers make its driver pin, read and write memory of its user: the in-kernel user of
 * containers and iommufds that programs can drive (semantics A5.3).
 *
 * Words: registers are 8 bytes, little endian, at the begin of BAR 0; the *buffer* is what is copied from and to.
 *   0x00 IOVA     0x08 COUNT (pages of a pin, bytes of a copy)   0x10 PROT (1 read, 2 write)
 *   0x18 COMMAND  1 pin, 2 unpin what was pinned with this IOVA and COUNT, 3 memory to buffer, 4 buffer to memory
 *   0x20 RESULT   of the last command: pages or bytes, or minus an errno
 *   0x28 PINNED   pages    0x30 VM   that it was opened with, 0: none    0x38 UNMAPS   how often it was told that memory goes
 *   0x1000 to 0x1fff: the buffer
 * Rule: it lets go of what it has pinned when that is unmapped, and of everything at its last close.
 */
import {
  type Address,
  type ByteReader,
  type ByteWriter,
  Lock,
  lockWrite,
  type MdevFacts,
  type Op,
  unlock,
  type View,
} from '@vfiolab/core';
import { errnoNumber, type KernelProfile, type Result } from '@vfiolab/uapi';
import type { Binding, CdevFile } from '../cdev-file.js';
import { NO_LOG, type PlainDevice } from '../plain-driver.js';
import { flagsOf, type ProfileFlags } from '../profile-flags.js';
import { pinPages, type PinnedRange, readMemory, unpinPages, writeMemory } from './guest-memory.js';

export const BUFFER_OFFSET = 0x1000;
export const BUFFER_BYTES = 0x1000;
const [IOVA, COUNT, PROT, COMMAND, RESULT, PINNED, VM, UNMAPS] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
export const REGISTERS = 8;
const [PIN, UNPIN, TO_BUFFER, FROM_BUFFER] = [1n, 2n, 3n, 4n];
/** Pages of one pin that it has room for, and pins. */
const [MAX_COUNT, MAX_PINS] = [1024n, 256];
const PROT_BITS = 3n;

/** Nobody logs what it writes. */
const minus = (errno: Parameters<typeof errnoNumber>[0]): bigint => BigInt.asUintN(64, BigInt(-errnoNumber(errno)));

export class MemoryCard implements PlainDevice {
  readonly emulated = true;
  readonly noiommu = false;
  readonly heldEventfds = 0;
  readonly refusesOpen = undefined;
  readonly takesToken = false;
  readonly set = new Lock();
  readonly memory = new Lock();
  readonly flags: ProfileFlags;
  readonly migration = undefined;
  readonly log = NO_LOG;
  bound: CdevFile | undefined;
  shared: { files: number; readonly binding: Binding | undefined } | undefined;
  private readonly written = new BigUint64Array(COMMAND);
  private result = 0n;
  private vm = 0;
  private unmaps = 0;
  private pins: PinnedRange[] = [];
  readonly buffer = new Uint8Array(BUFFER_BYTES);

  constructor(readonly facts: MdevFacts) {
    this.flags = flagsOf(facts.profile as KernelProfile);
  }

  get name(): string {
    return this.facts.uuid;
  }

  get node(): string {
    return `/dev/vfio/devices/vfio${this.facts.minor}`;
  }

  get minor(): number {
    return this.facts.minor;
  }

  get isOpen(): boolean {
    return this.bound !== undefined || this.shared !== undefined;
  }

  takeVm(vm: number): void {
    this.vm = vm;
  }

  /** It begins anew. */
  enable(): void {
    this.written.fill(0n);
    this.buffer.fill(0);
    [this.result, this.unmaps] = [0n, 0];
  }

  *disable(): Op<void> {
    yield* lockWrite(this.memory);
    yield* this.dropPins(() => true);
    this.vm = 0;
    yield* unlock(this.memory);
  }

  /** Memory behind pages `first` to `last` goes. */
  *dmaUnmap(first: number, last: number): Op<void> {
    yield* lockWrite(this.memory);
    this.unmaps++;
    yield* this.dropPins((pin) => pin.first <= last && first < pin.first + pin.count);
    yield* unlock(this.memory);
  }

  private *dropPins(goes: (pin: PinnedRange) => boolean): Op<void> {
    const gone = this.pins.filter(goes);
    this.pins = this.pins.filter((pin) => !goes(pin));
    for (const pin of gone) yield* unpinPages(this, pin);
  }

  readRegister(n: number): bigint {
    switch (n) {
      case RESULT:
        return this.result;
      case PINNED:
        return BigInt(this.pins.reduce((sum, { count }) => sum + count, 0));
      case VM:
        return BigInt(this.vm);
      case UNMAPS:
        return BigInt(this.unmaps);
      default:
        return this.written[n] ?? 0n;
    }
  }

  /** The caller has `memory` for writing. */
  *writeRegister(n: number, value: bigint, client: Address): Op<void> {
    if (n < COMMAND) this.written[n] = value;
    else if (n === COMMAND) this.result = yield* this.command(value, client);
  }

  private command(command: bigint, client: Address): Op<bigint> {
    const [iova, count] = [this.written[IOVA]!, this.written[COUNT]!];
    switch (command) {
      case PIN:
        return this.pin(iova, count);
      case UNPIN:
        return this.unpin(iova, count);
      case TO_BUFFER:
        return this.copy(client, iova, count, false);
      case FROM_BUFFER:
        return this.copy(client, iova, count, true);
      default:
        return this.refuse();
    }
  }

  private *refuse(): Op<bigint> {
    return minus('EINVAL');
  }

  private *pin(iova: bigint, count: bigint): Op<bigint> {
    const prot = this.written[PROT]!;
    if (count > MAX_COUNT || prot > PROT_BITS || this.pins.length >= MAX_PINS) return minus('EINVAL');
    const pinned = yield* pinPages(this, iova, Number(count), Number(prot));
    if (!pinned.ok) return minus(pinned.errno);
    this.pins.push(pinned.value);
    return count;
  }

  private *unpin(iova: bigint, count: bigint): Op<bigint> {
    const first = Number(iova >> 12n);
    const at = this.pins.findIndex((pin) => pin.first === first && BigInt(pin.count) === count);
    if (at < 0) return minus('EINVAL');
    const [pin] = this.pins.splice(at, 1);
    yield* unpinPages(this, pin!);
    return count;
  }

  private *copy(client: Address, iova: bigint, count: bigint, write: boolean): Op<bigint> {
    if (count > BigInt(BUFFER_BYTES)) return minus('EINVAL');
    const length = Number(count);
    const copied: Result<Uint8Array | void> = write
      ? yield* writeMemory(this, client, iova, this.buffer.slice(0, length))
      : yield* readMemory(this, client, iova, length);
    if (!copied.ok) return minus(copied.errno);
    if (copied.value) this.buffer.set(copied.value);
    return count;
  }

  encode(w: ByteWriter, view: View): void {
    for (const value of this.written) w.u64(value);
    w.u64(this.result);
    w.num(this.unmaps);
    w.bytes(this.buffer);
    w.list(this.pins, ({ first, count, item }) => {
      w.num(first);
      w.num(count);
      if (view === 'snapshot') w.num(item);
    });
    if (view === 'snapshot') w.num(this.vm);
  }

  decode(r: ByteReader): void {
    for (const n of this.written.keys()) this.written[n] = r.u64();
    this.result = r.u64();
    this.unmaps = r.num();
    this.buffer.set(r.bytes());
    this.pins = r.list(() => ({ first: r.num(), count: r.num(), item: r.num() }));
    this.vm = r.num();
  }

  check(): string[] {
    if (this.isOpen) return [];
    return this.pins.length > 0 ? ['I21: memory is pinned and nobody has the card open'] : [];
  }

  describe(): string[] {
    const { uuid, minor } = this.facts;
    const pages = this.readRegister(PINNED);
    return [`mdev ${uuid} vfio${minor}, memory card, ${pages} pages pinned, VM ${this.vm || 'none'}`];
  }
}
