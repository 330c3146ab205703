/**
 * The interrupts of an open function: which kind is on, whom each vector signals, and the INTx line.
 *
 * Words: a *trigger* is the eventfd that a vector signals, named by the number under which `pages` holds it for us; the
 * *line* is the function's INTx pin; INTx is *masked* from the moment it signalled until the client unmasks it.
 * Rule (I40): a signal leaves only for a trigger that is set at that moment; a trigger is given back only when no signal
 * for it is under way any more, as the kernel's free_irq waits for handlers.
 */
import {
  type ByteReader,
  type ByteWriter,
  call,
  Lock,
  lockWrite,
  type Op,
  PAGES,
  pagesApi,
  unlock,
  type View,
} from '@vfiolab/core';
import type { ConfigSpace } from './config-space.js';

const KINDS = ['none', 'intx', 'msi', 'msix'] as const;
export type InterruptKind = (typeof KINDS)[number];

/** `err` and `req`: the eventfds of the ERR and REQ indexes. */
export type SingleTrigger = 'err' | 'req';

export class Interrupts {
  kind: InterruptKind = 'none';
  /** Vectors allocated by the call that enabled MSI or MSI-X. */
  allocated = 0;
  /** INTx: vector 0. */
  readonly triggers = new Map<number, number>();
  masked = false;
  line = false;
  /** INTx: the watched eventfd whose writes unmask. */
  unmask: number | undefined;
  readonly single: Record<SingleTrigger, number | undefined> = { err: undefined, req: undefined };
  /** Held by SET_IRQS (the kernel's igate). */
  readonly gate = new Lock();
  /** Held while a signal is under way: one at a time, so however many a client causes, `pages` is asked one by one. */
  private readonly delivery = new Lock();

  constructor(private readonly config: ConfigSpace) {}

  /** Makes a kind the enabled one. I41: the caller has seen that none is. */
  enable(kind: InterruptKind, allocated: number): void {
    this.kind = kind;
    this.allocated = allocated;
    this.config.msiAllowed = kind === 'msi';
    if (kind === 'msi') this.config.setMsi(true, Math.ceil(Math.log2(allocated)));
    if (kind === 'msix') this.config.setMsix(true);
    this.masked = kind === 'intx' && this.config.intxDisabled;
  }

  /** Turns the enabled kind off and gives its triggers back. */
  *disable(): Op<void> {
    if (this.kind === 'msi') this.config.setMsi(false);
    if (this.kind === 'msix') this.config.setMsix(false);
    this.kind = 'none';
    this.allocated = 0;
    this.masked = false;
    this.config.msiAllowed = false;
    yield* this.dropUnmask();
    for (const vector of [...this.triggers.keys()].sort((a, b) => a - b)) yield* this.setTrigger(vector, undefined);
  }

  *dropUnmask(): Op<void> {
    const event = this.unmask;
    this.unmask = undefined;
    if (event !== undefined) yield* call(PAGES, pagesApi.eventfdUnwatch, { event });
  }

  /** Everything off, ERR and REQ included. */
  *shutDown(): Op<void> {
    yield* this.disable();
    yield* this.setSingle('err', undefined);
    yield* this.setSingle('req', undefined);
    this.setLine(false);
  }

  *setTrigger(vector: number, event: number | undefined): Op<void> {
    const old = this.triggers.get(vector);
    if (event === undefined) this.triggers.delete(vector);
    else this.triggers.set(vector, event);
    yield* this.giveBack(old);
  }

  *setSingle(which: SingleTrigger, event: number | undefined): Op<void> {
    const old = this.single[which];
    this.single[which] = event;
    yield* this.giveBack(old);
  }

  private *giveBack(event: number | undefined): Op<void> {
    if (event === undefined) return;
    yield* lockWrite(this.delivery);
    yield* unlock(this.delivery);
    yield* call(PAGES, pagesApi.eventfdDrop, { event });
  }

  /** Signals what `current` names at the moment when it is this signal's turn. */
  private *signal(current: () => number | undefined): Op<void> {
    yield* lockWrite(this.delivery);
    const event = current();
    if (event !== undefined) yield* call(PAGES, pagesApi.eventfdSignal, { event });
    yield* unlock(this.delivery);
  }

  *signalVector(vector: number): Op<void> {
    yield* this.signal(() => this.triggers.get(vector));
  }

  *signalSingle(which: SingleTrigger): Op<void> {
    yield* this.signal(() => this.single[which]);
  }

  /** Not while the client has INTx disabled in the command register (semantics D4.2). */
  *signalIntx(): Op<void> {
    yield* this.signal(() => (this.kind === 'intx' && !this.config.intxDisabled ? this.triggers.get(0) : undefined));
  }

  /** The function sends a message or asserts its line. Messages are writes: without bus master they go nowhere. */
  *raise(vector: number): Op<void> {
    if (this.config.msixEnabled || this.config.msiEnabled) {
      if (this.config.busMaster) yield* this.signalVector(vector);
      return;
    }
    this.setLine(true);
    yield* this.deliverLine();
  }

  setLine(asserted: boolean): void {
    this.line = asserted;
    this.config.setInterruptStatus(asserted);
  }

  /** An asserted and unmasked line masks itself and signals once (semantics D4.1). */
  *deliverLine(): Op<void> {
    if (this.kind !== 'intx' || !this.line || this.masked || this.config.intxDisabled) return;
    this.masked = true;
    yield* this.signalIntx();
  }

  maskIntx(): void {
    if (this.kind === 'intx') this.masked = true;
  }

  /** With the line still asserted it signals again at once and stays masked (semantics D4.1, trace b050). */
  *unmaskIntx(): Op<void> {
    if (this.kind !== 'intx' || !this.masked || this.config.intxDisabled) return;
    if (this.line) yield* this.signalIntx();
    else this.masked = false;
  }

  get heldEventfds(): number {
    const { err, req } = this.single;
    return this.triggers.size + [err, req, this.unmask].filter((event) => event !== undefined).length;
  }

  encode(w: ByteWriter, view: View): void {
    const event = (e: number | undefined): void => {
      w.bool(e !== undefined);
      if (view === 'snapshot' && e !== undefined) w.num(e);
    };
    w.u8(KINDS.indexOf(this.kind));
    w.u32(this.allocated);
    w.bool(this.masked);
    w.bool(this.line);
    w.list(
      [...this.triggers].sort(([a], [b]) => a - b),
      ([vector, e]) => {
        w.u32(vector);
        event(e);
      },
    );
    event(this.single.err);
    event(this.single.req);
    event(this.unmask);
  }

  decode(r: ByteReader): void {
    const event = (): number | undefined => (r.bool() ? r.num() : undefined);
    this.kind = KINDS[r.u8()]!;
    this.allocated = r.u32();
    this.masked = r.bool();
    this.line = r.bool();
    for (const [vector, e] of r.list(() => [r.u32(), event()] as const)) this.triggers.set(vector, e!);
    this.single.err = event();
    this.single.req = event();
    this.unmask = event();
  }

  check(vectors: Readonly<Record<InterruptKind, number>>): string[] {
    const broken: string[] = [];
    const { config, kind } = this;
    if (config.msiEnabled && config.msixEnabled) broken.push('I41: the function has both MSI and MSI-X enabled');
    if (config.msiEnabled && kind !== 'msi') broken.push(`I41: the function has MSI enabled while ${kind} is on`);
    if (config.msixEnabled !== (kind === 'msix'))
      broken.push(`I41: MSI-X in the function is ${config.msixEnabled} while ${kind} is on`);
    for (const vector of this.triggers.keys())
      if (vector >= vectors[kind])
        broken.push(`I40: vector ${vector} has a trigger, and ${kind} has ${vectors[kind]} vectors`);
    if (this.allocated > vectors[kind])
      broken.push(`I40: ${this.allocated} vectors of ${kind} allocated, there are ${vectors[kind]}`);
    if (kind !== 'intx' && this.unmask !== undefined) broken.push('I40: an eventfd unmasks INTx, which is off');
    return broken;
  }

  describe(): string {
    const on = [...this.triggers.keys()].sort((a, b) => a - b).join(',');
    return `interrupts: ${this.kind} triggers [${on}]${this.masked ? ' masked' : ''}${this.line ? ' line asserted' : ''}`;
  }
}
