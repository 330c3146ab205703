/**
 * A journal as a tape: the inputs of one service, played to a fresh core one at a time.
 *
 * Words: a *step* is one input. A tape is *lenient* when it goes on though this program answers otherwise than the one that
 * wrote the journal: `parted` then says where that began.
 * Rule: playing is the same whoever asks: the whole journal, a part, or two of them side by side.
 */
import {
  type Address,
  bootApi,
  decodeInputs,
  decodeHeader,
  EVENT,
  type Input,
  isClient,
  Machine,
  type Output,
  payloadOf,
  REQUEST,
  restoreSnapshot,
  type Snapshot,
  sysApi,
  WireError,
} from '@vfiolab/core';
import { ioctlNameAt, makeCore } from '@vfiolab/host';
import { type JournalReading, readJournal, ReplayDiverged } from '@vfiolab/shell';

export interface TapeOptions {
  /** A seal has vouched for the file just now. */
  readonly sealed?: boolean;
  readonly lenient?: boolean;
}

export class Tape {
  readonly machine: Machine;
  /** Inputs that were played, those before the snapshot included. */
  seq = 0;
  /** The record before which this program made other outputs than were made when it was written. */
  parted: number | undefined;
  private inputs: Input[] = [];
  private next = 0;
  private outputs: readonly Output[] = [];
  private readonly records: ReturnType<JournalReading['records']>;

  private constructor(
    readonly address: Address,
    readonly reading: JournalReading,
    core: NonNullable<ReturnType<typeof makeCore>>,
    private readonly lenient: boolean,
    from: Snapshot | undefined,
  ) {
    this.machine = new Machine(address, core);
    if (from) {
      this.outputs = restoreSnapshot(this.machine, from.state);
      this.seq = from.seq;
    }
    this.records = reading.records(this.seq);
  }

  /** Opens and checks a journal. `fromSnapshot`: what lies before its newest snapshot may be gone. */
  static async open(
    file: string,
    address: Address,
    { sealed = false, lenient = false }: TapeOptions = {},
    fromSnapshot = false,
  ): Promise<Tape> {
    const core = makeCore(address);
    if (!core) throw new Error(`${file}: this program has no service for ${address}`);
    const reading = await readJournal(file, address, sealed);
    const from = fromSnapshot ? reading.snapshotBefore(reading.head.seq) : undefined;
    return new Tape(address, reading, core, lenient, from);
  }

  /** The input that the next step takes; undefined at the end. Throws when the replay has made other outputs. */
  peek(): Input | undefined {
    while (this.next >= this.inputs.length) {
      const record = this.records.next();
      if (record.done) return undefined;
      this.compare(record.value);
      this.inputs = decodeInputs(record.value.body);
      this.next = 0;
    }
    return this.inputs[this.next];
  }

  private compare(record: { readonly seq: number; check?(outputs: readonly Output[]): void }): void {
    try {
      record.check?.(this.outputs);
    } catch (e) {
      if (!this.lenient || !(e instanceof ReplayDiverged)) throw e;
      this.parted ??= record.seq;
    }
    this.outputs = [];
  }

  /** The clock that the service has after the next step. */
  get nextClock(): number {
    const input = this.peek();
    return input ? this.machine.clockAfter(input) : Number.POSITIVE_INFINITY;
  }

  step(): void {
    const input = this.peek();
    if (!input) return;
    this.machine.step(input);
    this.next++;
    this.seq++;
    if (this.next < this.inputs.length) return;
    this.outputs = this.machine.out;
    this.machine.out = [];
  }

  /** Plays while the service's clock stays at or below `until`. */
  playTo(until: number): void {
    while (this.nextClock <= until) this.step();
  }

  /** Plays to the end, without asking for clocks. */
  playOut(): void {
    while (this.peek()) this.step();
  }

  /** The next step in words: `client:vmm calls sys.ioctl IOMMU_IOAS_MAP`. */
  get nextStep(): string {
    const input = this.peek();
    return input ? wordsFor(this.machine, input) : 'the end';
  }

  close(): Promise<void> {
    return this.reading.close();
  }
}

const BUILT_IN: ReadonlyMap<number, string> = new Map(
  [bootApi.start, bootApi.inspect].map(({ id, name }) => [id, name]),
);

function wordsFor({ address, core }: Machine, { from, frame }: Input): string {
  try {
    const h = decodeHeader(frame);
    const who = from === '' ? 'itself' : from;
    if (h.kind === EVENT) return `${who} tells an event`;
    if (h.kind !== REQUEST) return `${who} answers`;
    const name = core.methods.get(h.method)?.method.name ?? BUILT_IN.get(h.method) ?? `method ${h.method}`;
    const isIoctl = (h.method === sysApi.ioctl.id || h.method === sysApi.ioctlFile.id) && isClient(from);
    const ioctl = isIoctl ? ` ${ioctlNameAt(address, sysApi.ioctl.args.read(payloadOf(frame)).cmd)}` : '';
    return `${who} calls ${name}${ioctl}`;
  } catch (e) {
    if (e instanceof WireError) return `${from} sends what is no frame`;
    throw e;
  }
}
