/** Each rule of the watch is kept once and broken once, by messages made up for it. */
import {
  type Address,
  type AnyMethod,
  type ArgsOf,
  type Core,
  deviceApi,
  encodeFrame,
  GROUPS,
  IOMMU,
  iommuApi,
  IOMMUFD,
  PAGES,
  pagesApi,
  REPLY,
  type ReplyOf,
  REQUEST,
} from '@vfiolab/core';
import { DeviceCore, type DeviceNow } from '@vfiolab/vfio';
import { Watch } from './watch.js';

const BDF = '0000:00:03.0';
const [DEVICE, PEER] = ['device:0000:00:03_0', 'device:0000:00:04_0'];
const WELL: DeviceNow = { open: true, busMaster: true, initiates: true, lends: true, context: 1 };

/** Services that say what the test has them say, and a bus that only the watch hears. */
class Stage {
  readonly found: string[] = [];
  device: DeviceNow | undefined = WELL;
  peer: DeviceNow | undefined = WELL;
  domain: number | undefined = 5;
  tracking = true;
  private ids = 0;
  private readonly watch = new Watch(
    (address) => this.coreOf(address),
    (what) => this.found.push(what),
  );

  private coreOf(address: Address): Core | undefined {
    const device = (now: DeviceNow | undefined): Core =>
      Object.assign(Object.create(DeviceCore.prototype) as DeviceCore, { now: () => now });
    if (address === DEVICE) return device(this.device);
    if (address === PEER) return device(this.peer);
    const iommu = { through: () => this.domain, tracks: () => this.tracking };
    return address === IOMMU ? (iommu as unknown as Core) : undefined;
  }

  /** A request, again when its id is given. Answers its id. */
  ask<M extends AnyMethod>(from: Address, to: Address, method: M, args: ArgsOf<M>, id = ++this.ids): number {
    const header = {
      kind: REQUEST,
      flags: 0,
      method: method.id,
      epoch: 1,
      id,
      floor: 0,
      clock: 0,
      seen: 0,
      deadline: 0,
    };
    const frame = encodeFrame(header, method.args, args);
    for (const when of ['leaving', 'arriving'] as const) expect(this.watch.watcher(from, to, frame, when)).toBe(false);
    return id;
  }

  answer<M extends AnyMethod>(from: Address, to: Address, method: M, id: number, value: ReplyOf<M>): void {
    const header = { kind: REPLY, flags: 0, method: 0, epoch: 1, id, floor: 0, clock: 0, seen: 0, deadline: 0 };
    this.watch.watcher(from, to, encodeFrame(header, method.reply, value), 'leaving');
  }

  dma(iova = 0x100000n, write = true): number {
    const data = new Uint8Array(write ? 8 : 0);
    return this.ask(DEVICE, IOMMU, iommuApi.dma, { bdf: BDF, iova, write, length: 8, data, pasid: undefined });
  }

  landed(id: number, refused = false): void {
    const fault = refused ? { bdf: BDF, iova: 0n, write: true, reason: 'not mapped', pasid: undefined } : undefined;
    this.answer(IOMMU, DEVICE, iommuApi.dma, id, { data: new Uint8Array(0), fault, pending: undefined });
  }

  unmap(iova = 0x100): number {
    return this.ask(IOMMUFD, IOMMU, iommuApi.unmap, { domains: [5], spans: [{ iova, count: 2 }] });
  }

  unmapped(id: number): void {
    this.answer(IOMMU, IOMMUFD, iommuApi.unmap, id, undefined);
  }

  report(bits: number, clear = true): void {
    const id = this.ask(IOMMUFD, IOMMU, iommuApi.dirtyRead, { domain: 5, iova: 0x100, count: 8, clear });
    this.answer(IOMMU, IOMMUFD, iommuApi.dirtyRead, id, Uint8Array.of(bits));
  }
}

let s: Stage;
beforeEach(() => (s = new Stage()));

describe('DMA', () => {
  it.each([
    ['I46', { ...WELL, open: false }],
    ['I42', { ...WELL, busMaster: false }],
    ['I44', { ...WELL, initiates: false }],
  ])('%s', (rule, now) => {
    s.dma();
    expect(s.found).toEqual([]);
    s.device = now;
    s.dma();
    expect(s.found).toEqual([expect.stringMatching(`^${rule}: ${BDF} does DMA`)]);
  });
});

describe('I40: signals', () => {
  const hold = (): void => {
    const id = s.ask(DEVICE, PAGES, pagesApi.eventfdHold, { token: 'token   ', client: 'client:one' });
    s.answer(PAGES, DEVICE, pagesApi.eventfdHold, id, { ok: true, value: 7 });
  };

  it('go to eventfds that the device holds, as often as it does', () => {
    hold();
    hold();
    s.ask(DEVICE, PAGES, pagesApi.eventfdDrop, { event: 7 });
    const signal = s.ask(DEVICE, PAGES, pagesApi.eventfdSignal, { event: 7 });
    s.ask(DEVICE, PAGES, pagesApi.eventfdDrop, { event: 7 });
    // Nobody has answered: it is sent again.
    s.ask(DEVICE, PAGES, pagesApi.eventfdSignal, { event: 7 }, signal);
    expect(s.found).toEqual([]);
    s.ask(DEVICE, PAGES, pagesApi.eventfdSignal, { event: 7 });
    expect(s.found).toEqual([`I40: ${BDF} signals eventfd 7, which it does not hold`]);
  });

  it('and to watched ones', () => {
    const id = s.ask(DEVICE, PAGES, pagesApi.eventfdWatch, { token: 'token   ', client: 'client:one' });
    s.answer(PAGES, DEVICE, pagesApi.eventfdWatch, id, { ok: true, value: { event: 9, ready: false } });
    s.ask(DEVICE, PAGES, pagesApi.eventfdSignal, { event: 9 });
    expect(s.found).toEqual([]);
    s.ask(DEVICE, PAGES, pagesApi.eventfdUnwatch, { event: 9 });
    s.ask(DEVICE, PAGES, pagesApi.eventfdSignal, { event: 9 });
    expect(s.found).toHaveLength(1);
  });
});

it.each([
  ['without a driver', undefined, /^I43: .* hits a function without vfio driver$/],
  ['of another owner', { ...WELL, context: 2 }, /^I43: .* hits functions of 2 owners$/],
])('I43: a hot reset hits no function %s', (_who, peer, words) => {
  const reset = (): number => s.ask(GROUPS, DEVICE, deviceApi.hotReset, { rest: ['0000:00:04.0'] });
  reset();
  s.peer = { ...WELL, open: false, context: undefined };
  reset();
  expect(s.found).toEqual([]);
  s.peer = peer;
  reset();
  expect(s.found).toEqual([expect.stringMatching(words)]);
});

it('I49: a page request is answered once', () => {
  const respond = (request: number, id?: number): number =>
    s.ask(IOMMUFD, IOMMU, iommuApi.pageResponse, { bdf: BDF, request, success: true }, id);
  const id = respond(1);
  respond(2);
  respond(1, id);
  expect(s.found).toEqual([]);
  respond(1);
  expect(s.found).toEqual([`I49: page request 1 of ${BDF} is answered twice`]);
});

describe('I52: an unmap and the DMA that was under way', () => {
  it('is over before it is answered, or is refused', () => {
    const [one, two] = [s.dma(), s.dma()];
    const unmap = s.unmap();
    s.landed(one);
    s.unmapped(unmap);
    s.landed(two, true);
    expect(s.found).toEqual([]);
  });

  it('does not succeed afterwards', () => {
    const dma = s.dma();
    s.unmapped(s.unmap());
    s.landed(dma);
    expect(s.found).toEqual([`I52: ${BDF} has used IOVA 0x100000 of domain 5 after its unmap was answered`]);
  });

  it.each([
    ['it is elsewhere', () => s.unmapped(s.unmap(0x200))],
    [
      'something else is mapped there by then',
      () => {
        s.unmapped(s.unmap());
        const runs = [{ frame: 1, count: 1 }];
        s.ask(IOMMUFD, IOMMU, iommuApi.map, { domains: [5], iova: 0x100, runs, prot: 3, small: false });
      },
    ],
    [
      'the function has moved to another domain',
      () => {
        s.unmapped(s.unmap());
        s.domain = 6;
      },
    ],
  ])('but for: %s', (_why, meanwhile) => {
    const dma = s.dma();
    meanwhile();
    s.landed(dma);
    expect(s.found).toEqual([]);
  });
});

describe('I48: what was written is reported', () => {
  const lost = ['I48: page 256 of domain 5 was written, and no report tells'];

  it('by the report after it, once', () => {
    s.landed(s.dma());
    s.report(1, false);
    s.report(1);
    s.report(0);
    expect(s.found).toEqual([]);
  });

  it('or it is lost', () => {
    s.landed(s.dma());
    s.report(0);
    expect(s.found).toEqual(lost);
  });

  it.each([
    ['nobody tracks', () => (s.tracking = false)],
    ['it was a read', () => s.landed(s.dma(0x100000n, false))],
    ['it was refused', () => s.landed(s.dma(), true)],
    ['it lies behind the report', () => s.landed(s.dma(0x200000n))],
    [
      'it is unmapped by then',
      () => {
        s.landed(s.dma());
        s.unmapped(s.unmap());
      },
    ],
    [
      'tracking has begun anew',
      () => {
        s.landed(s.dma());
        s.ask(IOMMUFD, IOMMU, iommuApi.dirtyTracking, { domain: 5, enable: true });
      },
    ],
  ])('but for: %s', (_why, written) => {
    written();
    s.report(0);
    expect(s.found).toEqual([]);
  });
});
