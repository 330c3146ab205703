import { GROUPS, IOMMUFD, PAGES } from '@vfiolab/core';
import { Dice } from '../dice.js';
import { CALM, type SimOptions } from '../options.js';
import { TestHost } from '../test-host.js';
import { drawWindows, type Window, WINDOW_KINDS, type WindowKind } from './windows.js';

const MACHINE = '00:00.0 Host bridge: Intel Corporation 440FX (rev 02)\n';
const AT_MS = 400;

const optionsOf = (kind: WindowKind): SimOptions => ({
  ...CALM,
  windows: { [kind]: 1 },
  windowMs: 900,
  horizonMs: AT_MS,
});

/** A host with one window of this kind that is as the test wants it, and a program. */
async function host(kind: WindowKind, wanted: (window: Window) => boolean = () => true) {
  const options = optionsOf(kind);
  for (let seed = 1; ; seed++) {
    const [window] = drawWindows(new Dice(seed), options);
    if (window!.ms < 300 && kind !== 'jump') continue;
    if (window!.at < 200 || !wanted(window!)) continue;
    const t = await TestHost.boot({ machine: MACHINE, seed, options });
    const process = await t.process('program');
    await t.run(t.pause(window!.at + 1 - t.host.agenda.now));
    const end = window!.at + window!.ms;
    /** How long a call takes, ms. */
    const call = async (): Promise<number> => {
      const before = t.host.agenda.now;
      const mapped = await t.run(process.mmap(4096));
      expect(mapped.ok).toBe(true);
      return t.host.agenda.now - before;
    };
    return { t, call, end, window: window! };
  }
}

const ofPages = ({ service }: Window): boolean => service === PAGES;

it('nothing is drawn for a calm run', () => expect(drawWindows(new Dice(1), CALM)).toEqual([]));

it.each(WINDOW_KINDS)('a %s begins, and its name says what it is', async (kind) => {
  const { t, window } = await host(kind);
  expect(t.host.faults.happened).toEqual([window.name]);
  expect(window.name).toMatch(new RegExp(`^${kind} .*at ${window.at} ms for -?\\d+ ms$`));
});

it('a service that is paused answers when it goes on', async () => {
  const { t, call, end } = await host('pause', ofPages);
  await call();
  expect(t.host.agenda.now).toBeGreaterThan(end);
  expect(t.host.crashes).toBe(0);
});

it('a full disk makes its service read-only, and what was asked is answered when there is room', async () => {
  const { t, call, end } = await host('full-disk', ofPages);
  const answered = t.together(async () => {
    const waits = call();
    await t.pause(50);
    expect(t.host.actor(PAGES)!.readOnly).toBe(true);
    const { lines } = await t.env.inspect(PAGES);
    expect(lines[0]).toMatch(/^read-only: /);
    return waits;
  });
  await answered;
  expect(t.host.agenda.now).toBeGreaterThanOrEqual(end);
  expect([t.host.actor(PAGES)!.readOnly, t.host.failures]).toEqual([false, []]);
});

it('a slow disk takes its time', async () =>
  expect(await (await host('slow-disk', ofPages)).call()).toBeGreaterThan(6));

it('a cut link loses what is sent, and the call is repeated', async () => {
  const { t, call, end } = await host('cut', ({ link }) => link.from === 'client' && link.to === PAGES);
  await call();
  expect(t.host.agenda.now).toBeGreaterThan(end);
  expect(t.host.network.figures.lost).toBeGreaterThan(0);
});

it('a clogged link holds what is sent until it lets go', async () => {
  const { t, call, end } = await host('clog', ({ link }) => link.from === PAGES && link.to === 'client');
  await call();
  expect(t.host.agenda.now - end).toBeLessThan(1);
  expect([t.host.agenda.now > end, t.host.network.figures.lost]).toEqual([true, 0]);
});

it('a clock that jumps back or forth stops nothing', async () => {
  for (const back of [true, false]) {
    const { t, call, window } = await host('jump', ({ ms }) => ms < -60_000 === back && Math.abs(ms) > 60_000);
    expect(t.host.now() % 86_400_000).toBe((86_400_000 + Math.floor(t.host.agenda.now) + window.ms) % 86_400_000);
    expect(await call()).toBeLessThan(1);
  }
});

it('without power all services die at once, and come back with everything that they had said', async () => {
  const { t, call } = await host('power');
  expect(t.host.crashes).toBe(t.host.addresses().length);
  await call();
  expect([t.host.failures, t.host.broken()]).toEqual([[], []]);
});

describe('a loss of power in durability mode process', () => {
  /** Pages loses what it had not synced, when others have heard of it. */
  async function lost(keep: number) {
    const t = await TestHost.boot({ machine: MACHINE });
    t.host.journal(PAGES).sync();
    const process = await t.process('program');
    await t.run(process.mmap(4096));
    await t.run(t.pause(100));
    t.host.crash(PAGES, 10);
    t.host.journal(PAGES).losePower(keep);
    const went = t.run(t.pause(200)).catch((e: Error) => e.message);
    return { t, said: await went };
  }

  it('stops the service, which says so: its tail was witnessed', async () => {
    const { t, said } = await lost(0);
    expect(said).toMatch(/pages: .*journal's tail is lost/);
    expect(t.host.actor(PAGES)!.state).toBe('failed');
    expect([GROUPS, IOMMUFD].map((address) => t.host.actor(address)!.state)).toEqual(['serving', 'serving']);
  });

  it('goes unnoticed when nothing was lost', async () => {
    const { t } = await lost(1000);
    expect([t.host.actor(PAGES)!.state, t.host.failures]).toEqual(['serving', []]);
  });
});
