/**
 * Programs of which everything is known: what they ask must be answered as if nothing ever went wrong.
 *
 * Words: to *copy* is to let the device read one slot and write another; what is not mapped, or not attached, must stay as
 * it was.
 * Rule: no fault may change an answer or a byte (I01, I03, I06, I07, I48, I54); only contention for devices may.
 */
import { VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { type Act, pause, plainIoctl } from './act.js';
import { iovaOf, PAGES_OF_MEMORY, SLOTS, type SwarmProgram } from './program.js';
import { ContainerSpace, IommufdSpace, type Space } from './spaces.js';

const MOVES = 14;

/** How many sessions a program has, and how long it rests between two, ms. */
export interface Pace {
  readonly sessions: number;
  readonly restMs: number;
}

/** One session after another, with a rest in between, ms. */
export function* steady(p: SwarmProgram, { sessions, restMs }: Pace): Act<void> {
  yield* p.begin();
  const known = new Uint8Array(PAGES_OF_MEMORY);
  for (let i = 0; i < sessions && !p.around.over(); i++) {
    const space = yield* openSpace(p);
    yield* new Session(p, space, known).run(MOVES);
    // What is open when a program ends is closed for it.
    if (i + 1 === sessions && p.chance.once(2)) return;
    yield* space.close();
    if (restMs > 0) yield* pause(p.chance.below(2 * restMs));
  }
}

function* openSpace(p: SwarmProgram): Act<Space> {
  const { nodes } = p.around;
  const node = nodes.length > 0 ? p.chance.pick(nodes) : undefined;
  if (!node) return yield* IommufdSpace.open(p, undefined);
  const contained = node.alone && p.chance.once(3) ? yield* ContainerSpace.open(p, node) : undefined;
  return contained ?? (yield* IommufdSpace.open(p, node));
}

class Session {
  /** Which page is behind a slot. */
  private readonly mapped = new Map<number, number>();
  private readonly dirty = new Set<number>();
  private attached = true;
  private marks = 0;

  constructor(
    private readonly p: SwarmProgram,
    private readonly space: Space,
    /** The byte that each page is full of, as far as it is looked at. */
    private readonly known: Uint8Array,
  ) {}

  *run(moves: number): Act<void> {
    for (let i = 0; i < 3; i++) yield* this.map();
    for (let i = 0; i < moves; i++) {
      if (this.p.chance.once(6)) yield* pause(1 + this.p.chance.below(20));
      yield* this.move();
    }
    yield* this.look();
  }

  private *move(): Act<void> {
    const { device, attach, dirty } = this.space;
    const n = this.p.chance.below(16);
    if (n < 4) return yield* this.map();
    if (n < 7) return yield* this.unmap();
    if (n === 7) return yield* this.look();
    if (!device) return yield* this.map();
    if (n === 8 && attach) return yield* this.switch(attach);
    if (n === 9 && dirty) return yield* this.report(dirty);
    if (n === 10 && this.p.chance.once(3)) {
      yield* plainIoctl(device, VFIO_DEVICE_RESET);
      return yield* this.p.enable(device);
    }
    return yield* this.copy(device);
  }

  private find(what: string): void {
    this.p.around.find(`${this.p.client.name}: ${what}`);
  }

  private expect(what: string, got: string | undefined, wanted: string | undefined): void {
    this.p.around.count('foretold');
    if (got !== wanted) this.find(`I54: ${what} answers ${got ?? 'success'} instead of ${wanted ?? 'success'}`);
  }

  private *map(): Act<void> {
    const slot = this.p.chance.below(SLOTS);
    const page = this.p.chance.below(PAGES_OF_MEMORY);
    const taken = this.mapped.has(slot);
    this.expect(`map of slot ${slot}`, yield* this.space.map(slot, this.p.va64(page)), taken ? 'EEXIST' : undefined);
    if (!taken) this.mapped.set(slot, page);
  }

  private *unmap(): Act<void> {
    const slots = [...this.mapped.keys()];
    const slot = slots.length > 0 && !this.p.chance.once(6) ? this.p.chance.pick(slots) : this.p.chance.below(SLOTS);
    const wanted = this.mapped.delete(slot) ? undefined : this.space.nothing;
    this.expect(`unmap of slot ${slot}`, yield* this.space.unmap(slot), wanted);
    this.dirty.delete(slot);
  }

  private *switch(attach: NonNullable<Space['attach']>): Act<void> {
    const on = !this.attached;
    this.expect(on ? 'attach' : 'detach', yield* attach(on), undefined);
    this.attached = on;
  }

  /** A byte of this program's that it did not use lately. */
  private mark(): number {
    this.marks = (this.marks % 15) + 1;
    return 16 * (1 + (this.p.family % 15)) + (this.marks & 15);
  }

  private *copy(device: NonNullable<Space['device']>): Act<void> {
    const { p, mapped, known } = this;
    const [from, to] = [p.chance.below(SLOTS), p.chance.below(SLOTS)].map((n) => this.near(n)) as [number, number];
    const source = mapped.get(from);
    const target = mapped.get(to);
    if (source === undefined) return;
    const byte = this.mark();
    yield* p.fill(source, byte);
    known[source] = byte;
    yield* p.dma(device, false, this.iova(from));
    yield* p.dma(device, true, this.iova(to));
    if (this.attached && target !== undefined) {
      known[target] = byte;
      this.dirty.add(to);
    }
    yield* this.judge(target ?? source, `slot ${from} was copied to slot ${to}`);
  }

  private iova(slot: number): bigint {
    return iovaOf(slot);
  }

  /** A slot that is mapped, most of the time. */
  private near(n: number): number {
    const slots = [...this.mapped.keys()];
    return slots.length > 0 && !this.p.chance.once(4) ? slots[n % slots.length]! : n;
  }

  private *judge(page: number, after: string): Act<void> {
    const bytes = yield* this.p.read(page);
    this.p.around.count('foretold');
    const wrong = bytes.find((byte) => byte !== this.known[page]);
    if (wrong !== undefined) this.find(`I01: page ${page} has ${wrong} instead of ${this.known[page]}: ${after}`);
  }

  private *look(): Act<void> {
    yield* this.judge(this.p.chance.below(PAGES_OF_MEMORY), 'nobody wrote to it');
  }

  /** I48: whatever was written to is told. */
  private *report(dirty: NonNullable<Space['dirty']>): Act<void> {
    for (const slot of this.dirty) {
      this.p.around.count('foretold');
      if (!(yield* dirty(slot))) this.find(`I48: slot ${slot} was written to and is not dirty`);
    }
    this.dirty.clear();
  }
}
