/**
 * Random traffic against the one promise that everything else rests on: when an unmap, a detach or a free has been
 * answered, no byte of the memory concerned moves any more (I01, I04, I05, I52).
 */
import { BLOCKING, ByteReader } from '@vfiolab/core';
import { IommuCore } from './iommu-core.js';
import { type Answer, type Bench, benchOf, DEV, PAIR } from './testing/bench.js';
import { random, type Random } from './testing/random.js';

const EMPTY = new Uint8Array();
const DOMAINS = [1, 2];
const IOVAS = 24;

/** Frames are used once only, so a frame names the map that it came from. */
class Traffic {
  private nextFrame = 1;
  /** For each domain: IOVA -> frame, as acknowledged or asked for. */
  private readonly maps = new Map(DOMAINS.map((d) => [d, new Map<number, number>()]));
  /** Frames whose unmap was answered: the caller may have unpinned them. */
  private readonly unpinned = new Set<number>();
  private readonly unmaps: { answer: Answer<unknown>; frames: number[] }[] = [];
  readonly outcomes = { moved: 0, refused: 0 };

  constructor(
    private readonly bench: Bench,
    private readonly next: Random,
  ) {
    for (const _ of DOMAINS) bench.now('domainAlloc', { bdf: DEV, flags: 0 });
  }

  step(): void {
    const actions = [this.map, this.unmap, this.dma, this.dma, this.dma, this.attach, this.land, this.land];
    actions[this.next(actions.length)]!.call(this);
    this.settle();
  }

  private map(): void {
    const domain = DOMAINS[this.next(2)]!;
    const iova = this.next(IOVAS);
    const count = 1 + this.next(3);
    const known = this.maps.get(domain)!;
    const free = Array.from({ length: count }, (_, i) => iova + i).every((at) => !known.has(at));
    const runs = [{ frame: this.nextFrame, count }];
    const answer = this.bench.now('map', { domains: [domain], iova, runs, prot: 3 });
    expect(answer).toEqual(free ? { ok: true, value: undefined } : { ok: false, errno: 'EEXIST' });
    if (free) for (let i = 0; i < count; i++) known.set(iova + i, this.nextFrame + i);
    this.nextFrame += count + 1;
  }

  private unmap(): void {
    const iova = this.next(IOVAS);
    const count = 1 + this.next(6);
    const frames: number[] = [];
    for (const known of this.maps.values()) {
      for (let at = iova; at < iova + count; at++) {
        if (known.has(at)) frames.push(known.get(at)!);
        known.delete(at);
      }
    }
    this.unmaps.push({ answer: this.bench.ask('unmap', { domains: DOMAINS, spans: [{ iova, count }] }), frames });
  }

  private dma(): void {
    const bdf = [DEV, ...PAIR][this.next(3)]!;
    const data = this.next(2) === 0 ? new Uint8Array(1 + this.next(9000)) : EMPTY;
    const length = data.length || 1 + this.next(9000);
    const iova = BigInt(this.next(IOVAS * 4096));
    const { value } = this.bench.ask('dma', { bdf, iova, write: data.length > 0, length, data });
    if (value?.fault) this.outcomes.refused++;
    else this.outcomes.moved++;
  }

  private attach(): void {
    const bdfs = this.next(2) === 0 ? [DEV] : PAIR;
    this.bench.ask('attach', { bdfs, domain: [BLOCKING, ...DOMAINS][this.next(3)]! });
  }

  /** One of the calls to `pages` is answered: any of them, because the bus keeps no order between operations. */
  private land(): void {
    const { held } = this.bench;
    for (let i = this.next(held.length || 1); i > 0; i--) held.push(held.shift()!);
    if (held.length > 0) this.bench.pagesAnswer();
  }

  private settle(): void {
    for (const { answer, frames } of this.unmaps)
      if (answer.value !== undefined) frames.forEach((f) => this.unpinned.add(f));
    for (const { pieces } of this.bench.held) {
      for (const { frame, offset, length } of pieces) {
        const last = frame + Math.floor((offset + length - 1) / 4096);
        for (let f = frame; f <= last; f++)
          if (this.unpinned.has(f)) throw new Error(`frame ${f} was unpinned under a DMA`);
      }
    }
  }

  finish(): void {
    while (this.bench.held.length > 0) this.land();
    this.settle();
    expect(this.unmaps.every(({ answer }) => answer.value !== undefined)).toBe(true);
  }
}

test.each([1, 2, 3, 4, 5, 6, 7, 8])('no DMA touches memory after its unmap was answered, seed %i', (seed) => {
  const bench = benchOf();
  const traffic = new Traffic(bench, random(seed));
  for (let i = 0; i < 600; i++) traffic.step();
  traffic.finish();
  expect(bench.machine.idle).toBe(true);
  expect(bench.core.check()).toEqual([]);
  expect(traffic.outcomes.moved).toBeGreaterThan(5);
  expect(traffic.outcomes.refused).toBeGreaterThan(5);
  const again = new IommuCore();
  again.decode(new ByteReader(bench.machine.stateBytes('snapshot')));
  expect(again.describe()).toEqual(bench.core.describe());
});
