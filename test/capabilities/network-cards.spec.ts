/** Two network cards in the hands of programs: frames through rings in their memory, the IOMMU, and the wire between. */
import { readFileSync } from 'node:fs';
import type { Process } from '@vfiolab/client';
import { type Address, deviceAddress, IOMMU, LAB, labApi, PAGES } from '@vfiolab/core';
import { CALM, TestHost, type TestHostOptions } from '@vfiolab/sim';
import { IOMMU_IOAS_UNMAP } from '@vfiolab/uapi';
import { BROADCAST, ENTRIES, E1000eDriver, frameOf, REG } from './support/e1000e-driver.js';
import { openCard, type Opened } from './support/network-card.js';
import { NOTHING, Program } from './support/passthrough.js';

const [A, B] = ['0000:01:00.0', '0000:02:00.0'] as const;
const MSIX = 2;
const left = undefined;
const NO_PARAMETERS = {
  ...{ ms: left, count: left, every: left, delay: left, vector: left },
  ...{ iova: left, bytes: left, write: left, pasid: left },
};
const file = new URL('../machines/network-lab.json', import.meta.url);
const description = JSON.parse(readFileSync(file, 'utf8')) as { functions: { bdf: string; network?: string }[] };

/** The machine with both cards bound to vfio-pci; `networks`: names of theirs. */
function machine(networks: readonly [string, string] = ['lan0', 'lan0']): string {
  const functions = description.functions.map((f) =>
    [A, B].includes(f.bdf as typeof A)
      ? { ...f, driver: 'vfio-pci', network: networks[[A, B].indexOf(f.bdf as typeof A)] }
      : f,
  );
  return JSON.stringify({ ...description, functions });
}

interface Two {
  readonly host: TestHost;
  /** A process that does nothing but let time pass. */
  readonly clock: Process;
  readonly programs: readonly Program[];
  readonly cards: readonly Opened[];
}

async function boot(networks?: readonly [string, string], trouble: Partial<TestHostOptions> = {}): Promise<Two> {
  const host = await TestHost.boot({ machine: machine(networks), profile: '7.2', ...trouble });
  const programs: Program[] = [];
  const cards: Opened[] = [];
  for (const bdf of [A, B]) {
    const program = await Program.start(host, await host.process(`driver-${bdf.slice(5, 7)}`));
    programs.push(program);
    cards.push(await openCard(program, bdf));
  }
  return { host, clock: await host.process('clock'), programs, cards };
}

const pause = ({ host, clock }: Two, ms = 200): Promise<void> => host.run(clock.link.ports.sleep(ms));

async function end(two: Two): Promise<void> {
  for (const program of two.programs) await two.host.run(program.process.exit());
  await pause(two);
  expect(two.host.broken()).toEqual([]);
  for (const bdf of [A, B]) expect(two.host.figures(`device:${bdf.replace('.', '_')}`)).toEqual(NOTHING);
}

const payload = (n: number, length: number): Buffer => Buffer.alloc(length, n);
const framesTo = (to: E1000eDriver, from: E1000eDriver, count: number): Buffer[] =>
  Array.from({ length: count }, (_, n) => frameOf(to.mac, from.mac, payload(n + 1, 46 + 100 * n)));

it('frames of one program are in the other’s memory, and messages tell of both', async () => {
  const two = await boot();
  const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
  expect([a.mac.toString('hex'), b.mac.toString('hex')]).toEqual(['020000000100', '020000000200']);
  const events = await Promise.all(two.programs.map((program) => program.eventfd()));
  for (const [i, { device, driver }] of two.cards.entries()) {
    expect(await device.setIrqs(MSIX, 0, [i === 0 ? -1 : events[1]!, i === 0 ? events[0]! : -1])).toBeUndefined();
    await driver.vectors();
  }
  const frames = framesTo(b, a, 5);
  for (const frame of frames) await a.send(frame);
  await pause(two);
  expect(await b.received()).toEqual(frames);
  expect([await two.programs[0]!.count(events[0]!), await two.programs[1]!.count(events[1]!)]).toEqual([1, 1]);
  await Promise.all([a, b].map((driver) => driver.interrupts()));
  const back = frameOf(BROADCAST, b.mac, payload(9, 500));
  await b.send(back);
  await pause(two);
  expect([await a.received(), await a.allSent(), await b.received()]).toEqual([[back], true, []]);
  await end(two);
});

it('who has no descriptors left drops and counts, and the sender does not notice', async () => {
  const two = await boot();
  const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
  const frames = framesTo(b, a, 4);
  for (let i = 0; i < 10; i++) await a.send(...frames);
  await pause(two);
  expect([(await b.received()).length, await b.card.read(REG.missed)]).toEqual([ENTRIES - 1, 41 - ENTRIES]);
  expect(await a.card.read(REG.sent)).toBe(40);
  await a.send(frames[3]!);
  await pause(two);
  expect(await b.received()).toEqual([frames[3]]);
  await end(two);
});

it.each([
  ['cards of different networks', ['lan0', 'lan1']],
  ['a frame for somebody else', undefined],
] as const)('%s: nothing comes', async (_what, networks) => {
  const two = await boot(networks);
  const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
  await a.send(frameOf(networks ? b.mac : Buffer.alloc(6, 2), a.mac, payload(1, 100)));
  await pause(two);
  expect([await b.received(), await a.allSent()]).toEqual([[], true]);
  await end(two);
});

it('a card whose program has gone takes nothing, and nobody waits for it', async () => {
  const two = await boot();
  const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
  await two.host.run(two.programs[1]!.process.exit());
  await a.send(...framesTo(b, a, 4));
  await pause(two);
  expect([await a.allSent(), two.host.broken()]).toEqual([true, []]);
  await end(two);
});

it('a frame for memory that is not mapped goes nowhere else', async () => {
  const two = await boot();
  const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
  const { iommufd, ioas } = two.programs[1]!;
  await two.programs[1]!.ioctl(iommufd, IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova: 0n, length: 2n ** 64n - 1n });
  await a.send(...framesTo(b, a, 2));
  await pause(two);
  expect([await b.card.read(REG.missed), await b.received()]).toEqual([2, []]);
  await end(two);
});

it.each<[string, Address]>([
  ['the sender', deviceAddress(A)],
  ['the receiver', deviceAddress(B)],
  ['the IOMMU', IOMMU],
  ['the memory', PAGES],
])('%s is killed between and in the middle of frames: each comes once and in order', async (_who, address) => {
  const two = await boot();
  const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
  const frames = framesTo(b, a, 12);
  for (const frame of frames) {
    const sending = a.send(frame);
    two.host.host.crash(address, 5);
    await sending;
  }
  await pause(two, 1000);
  expect(await b.received()).toEqual(frames);
  await end(two);
});

const ROUGH = { loss: 0.1, duplication: 0.1, delay: 0.2, delayMs: 50, crash: 0.005, maxCrashes: 8, downMs: 100 };
it.each([1, 2, 3, 4])(
  'on a bus that loses, doubles and delays, between services that crash (seed %i)',
  async (seed) => {
    const two = await boot(undefined, { seed, options: { ...CALM, ...ROUGH, snapshotEvery: 12 } });
    const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
    const [there, back] = [framesTo(b, a, 12), framesTo(a, b, 12)];
    for (const [i, frame] of there.entries()) {
      await a.send(frame);
      await b.send(back[i]!);
    }
    await pause(two, 30_000);
    expect([await b.received(), await a.received()]).toEqual([there, back]);
    await end(two);
  },
);

it('a reset of the receiver forgets its rings, and what comes then is dropped', async () => {
  const two = await boot();
  const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
  const sending = a.send(...framesTo(b, a, 4));
  await b.card.write(REG.ctrl, 1 << 26);
  await sending;
  await pause(two);
  await a.send(...framesTo(b, a, 1));
  await pause(two);
  expect([await b.card.read(REG.received), await a.allSent()]).toEqual([0, true]);
  await end(two);
});

it('a card that does not answer takes no frame, and nobody waits for it', async () => {
  const two = await boot();
  const [a, b] = two.cards.map(({ driver }) => driver) as [E1000eDriver, E1000eDriver];
  const operator = await two.host.process('operator-of-faults');
  const fault = { ...NO_PARAMETERS, device: B, kind: 'link-down' };
  expect(await two.host.run(operator.link.call(LAB, labApi.fault, fault))).toEqual({ error: '' });
  await a.send(...framesTo(b, a, 3));
  await pause(two);
  expect([await a.allSent(), await b.received(), await b.card.read(REG.status)]).toEqual([true, [], 0xffff_ffff]);
  const back = { ...fault, kind: 'link-up' };
  expect(await two.host.run(operator.link.call(LAB, labApi.fault, back))).toEqual({ error: '' });
  await two.host.run(operator.exit());
  await end(two);
});
