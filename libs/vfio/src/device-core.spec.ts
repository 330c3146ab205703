import { deviceApi, type FunctionFacts, iommufdApi, MAX_FILES_PER_CLIENT, pagesApi, sysApi } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { CdevFile } from './cdev-file.js';
import { DeviceCore } from './device-core.js';
import { bench, boundBench, CONFIG, type Client } from './testing/client.js';
import { E1000E, EDU } from './testing/functions.js';
import { Harness } from './testing/harness.js';

const PATH = '/dev/vfio/devices/vfio0';
const BAR = EDU.bars[0]!;

describe('probe', () => {
  test.each<[string, Partial<FunctionFacts>]>([
    ['config of 100 bytes', { config: new Uint8Array(100) }],
    ['a bridge', { config: E1000E.config.map((b, i) => (i === 14 ? 1 : b)) }],
    ['a BAR of no power of two', { bars: [{ ...BAR, size: 5000 }] }],
    ['a BAR of 2 bytes', { bars: [{ ...BAR, size: 2 }] }],
    ['BAR 7', { bars: [{ ...BAR, index: 7 }] }],
    ['two BARs at one place', { bars: [BAR, BAR] }],
    [
      'a BAR in the upper half of another',
      {
        bars: [
          { ...BAR, wide: true },
          { ...BAR, index: 1 },
        ],
      },
    ],
    ['a 64-bit BAR without room', { bars: [{ ...BAR, index: 5, wide: true }] }],
    ['a 64-bit port BAR', { bars: [{ ...BAR, io: true, wide: true }] }],
    ['an unknown profile', { profile: '2.4' }],
    ['an unknown model', { model: 'teapot' }],
    ['a minor of 2^20', { minor: 1 << 20 }],
  ])('%s is EINVAL, and nothing is bound', (_rule, wrong) => {
    const h = new Harness();
    expect(h.ask(deviceApi.probe, { ...EDU, ...wrong })).toEqual({ ok: false, errno: 'EINVAL' });
    expect(h.core.describe()).toEqual(['no driver bound']);
  });

  test('twice is EBUSY', () => {
    expect(bench(EDU).h.ask(deviceApi.probe, EDU)).toEqual({ ok: false, errno: 'EBUSY' });
  });
});

describe('open', () => {
  test.each<[string, (h: Harness) => void, string]>([
    ['before probe', () => undefined, PATH],
    ['another minor', (h) => void h.ask(deviceApi.probe, EDU), '/dev/vfio/devices/vfio1'],
  ])('%s is ENODEV', (_rule, prepare, path) => {
    const h = new Harness();
    prepare(h);
    expect(h.ask(sysApi.open, { path, flags: 2 })).toEqual({ ok: false, errno: 'ENODEV' });
  });

  test(`more than ${MAX_FILES_PER_CLIENT} files of a client are EMFILE, for grants too`, () => {
    const c = bench(EDU);
    const entropy = (core: { tokens: { open(client: string, file: CdevFile, e: Uint8Array): unknown } }): void => {
      for (let i = 0; i < MAX_FILES_PER_CLIENT; i++)
        core.tokens.open(
          c.address,
          new CdevFile(9999, 2),
          new Uint8Array(Uint32Array.of(i, 1, 2, 3, 4, 5, 6, 7).buffer),
        );
    };
    entropy(c.h.core as never);
    expect(c.h.ask(sysApi.open, { path: PATH, flags: 2 })).toEqual({ ok: false, errno: 'EMFILE' });
    const other = c.h.ask(sysApi.open, { path: PATH, flags: 2 }, 'client:two');
    if (!other.ok) throw new Error(other.errno);
    expect(c.h.ask(sysApi.grant, { token: other.value.token, to: c.address }, 'client:two')).toEqual({
      ok: false,
      errno: 'EMFILE',
    });
  });

  test('a capability in the wrong hands is EBADF', () => {
    const { c, dev } = boundBench(EDU);
    expect(c.h.ask(sysApi.pread, { token: dev, offset: 0, length: 4 }, 'client:two')).toEqual({
      ok: false,
      errno: 'EBADF',
    });
    expect(c.h.ask(sysApi.grant, { token: dev, to: 'client:two' }, 'client:two')).toEqual({
      ok: false,
      errno: 'EBADF',
    });
  });
});

describe('remove', () => {
  test('with nobody there ends at once, and the function can be probed again', () => {
    const c = bench(EDU);
    c.h.ask(deviceApi.remove, undefined);
    expect(c.h.ask(deviceApi.probe, { ...EDU, minor: 4 }).ok).toBe(true);
    expect(c.open(2, 4)).toBeDefined();
  });

  test('of an unbound function ends at once', () => {
    expect(new Harness().start(deviceApi.remove, undefined).done).toBe(true);
  });

  test('waits for a bound file, asks for it by REQ, and the file works on (trace b054)', () => {
    const { c, dev } = boundBench(EDU);
    c.setEventfds(dev, 4, 0, [10]);
    const removing = c.h.start(deviceApi.remove, undefined);
    expect([removing.done, c.h.world.take('e10')]).toEqual([false, 1]);
    expect(c.h.ask(sysApi.open, { path: PATH, flags: 2 })).toEqual({ ok: false, errno: 'ENODEV' });
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_GET_INFO, {}).out.flags).toBe(2);
    c.close(dev);
    expect(removing.done).toBe(true);
    expect(c.h.core.describe()).toEqual(['no driver bound']);
  });

  test('waits for a file that is only open, which may still bind (trace b056)', () => {
    const c = bench(EDU);
    const dev = c.open();
    const removing = c.h.start(deviceApi.remove, undefined);
    expect([removing.done, c.bind(dev)]).toEqual([false, undefined]);
    c.close(dev);
    expect(removing.done).toBe(true);
  });

  test('waits until the release has ended', () => {
    const { c, dev } = boundBench(EDU);
    const removing = c.h.start(deviceApi.remove, undefined);
    c.h.hold(iommufdApi.unbind);
    const closing = c.h.start(sysApi.close, { token: dev }, c.address);
    expect([closing.done, removing.done]).toEqual([false, false]);
    c.h.release(iommufdApi.unbind);
    expect([closing.done, removing.done]).toEqual([true, true]);
  });

  test('a REQ signal under way does not outlive the close', () => {
    const { c, dev } = boundBench(EDU);
    c.setEventfds(dev, 4, 0, [10]);
    c.h.hold(pagesApi.eventfdSignal);
    const removing = c.h.start(deviceApi.remove, undefined);
    const closing = c.h.start(sysApi.close, { token: dev }, c.address);
    expect(closing.done).toBe(false);
    c.h.release(pagesApi.eventfdSignal);
    expect([closing.done, removing.done, c.h.world.holds.size]).toEqual([true, true, 0]);
  });
});

/** A state with something of everything. */
function busyBench(): { c: Client; dev: string } {
  const { c, dev } = boundBench(E1000E);
  c.open(0);
  c.setEventfds(dev, 2, 1, [10, -1, 12]);
  c.setEventfds(dev, 4, 0, [11]);
  c.pwrite(dev, CONFIG + 4, '0605');
  c.pwrite(dev, CONFIG + 60, '42');
  c.pwrite(dev, 4, '78563412');
  return { c, dev };
}

describe('state', () => {
  test.each<[string, () => Client]>([
    ['no driver', () => ({ h: new Harness() }) as Client],
    ['probed', () => bench(EDU)],
    ['busy', () => busyBench().c],
  ])('%s: a snapshot is read back to the same bytes in both views', (_rule, make) => {
    const { h } = make();
    const before = [h.state('snapshot'), h.state('meaning')];
    h.restart();
    expect([h.state('snapshot'), h.state('meaning')]).toEqual(before);
    expect(h.core.check()).toEqual([]);
  });

  test('after a restart everything goes on', () => {
    const { c, dev } = busyBench();
    c.h.restart();
    expect([c.pread(dev, CONFIG + 4, 2), c.pread(dev, 4, 4), c.pread(dev, CONFIG + 60, 1)]).toEqual([
      '0605',
      '87a9cbed',
      '42',
    ]);
    c.poke(dev, 0x60, 1n);
    expect(c.setIrqs(dev, 33, 2, 0, 5)).toBeUndefined();
    expect([c.h.world.take('e10'), c.h.world.take('e12')]).toEqual([1, 1]);
    expect(c.bind(dev)).toBe('EINVAL');
    c.close(dev);
    expect(c.h.world).toMatchObject({ bound: 0, claims: 0, holds: new Map() });
    expect(c.h.core.figures()).toEqual({ files: 1, madeFiles: 0, bound: 0, heldEventfds: 0 });
  });

  test('the meaning does not tell in which order files were opened, nor by which capability or number', () => {
    const meaning = (flags: number[]): Uint8Array => {
      const c = bench(EDU);
      c.close(c.open());
      for (const f of flags) c.open(f);
      return c.h.state('meaning');
    };
    expect(meaning([0, 2])).toEqual(meaning([2, 0]));
    expect(meaning([0, 2])).not.toEqual(meaning([2, 2]));
  });

  test('the meaning tells registers', () => {
    const { c, dev } = boundBench(EDU);
    const before = c.h.state('meaning');
    c.pwrite(dev, 4, '01000000');
    expect(c.h.state('meaning')).not.toEqual(before);
  });

  test('describe has a line for each thing', () => {
    const { c } = busyBench();
    expect(c.h.core.describe()).toEqual([
      'function 0000:01:00.0 vfio0 command 0x0106 D0 resets [pm bus] refused DMA 0',
      'interrupts: msix triggers [1,3]',
      expect.stringContaining('dma-engine: source 0x0'),
      'file 1 bound as device 1 attached to HWPT 11',
      'file 2 not bound',
    ]);
  });
});

const CONFIG_COMMAND = 7 * 2 ** 40 + 4;

describe('check sees a broken state', () => {
  interface Inside {
    files: Map<number, CdevFile>;
    faults: { storms: number };
    device: {
      bound: unknown;
      irqs: { kind: string; triggers: Map<number, number>; allocated: number };
      config: { setMsi(on: boolean): void };
    };
  }
  test.each<[string, string, (s: Inside) => void]>([
    ['two bound files', 'I16', (s) => (s.files.get(2)!.binding = { context: 1, device: 2 })],
    ['a function enabled for nobody', 'I16', (s) => (s.device.bound = undefined)],
    ['attached and not bound', 'I18', (s) => (s.files.get(2)!.attached = 3)],
    ['a file that nobody holds', 'I27', (s) => s.files.set(9, new CdevFile(9, 2))],
    ['two kinds of interrupt', 'I41', (s) => s.device.config.setMsi(true)],
    ['a kind that the function has off', 'I41', (s) => (s.device.irqs.kind = 'msi')],
    ['a trigger of a vector that is not there', 'I40', (s) => s.device.irqs.triggers.set(5, 1)],
    [
      'memory that is said to answer, and does not',
      'I39',
      (s) => Object.assign(s.device, { mapped: true, memoryTold: true }),
    ],
    ['storms that nobody runs', 'storms', (s) => (s.faults.storms = 1)],
    ['more vectors than there are', 'I40', (s) => (s.device.irqs.allocated = 6)],
  ])('%s: %s', (_rule, invariant, breakIt) => {
    const { c, dev } = busyBench();
    expect(c.pwrite(dev, CONFIG_COMMAND, '0001')).toBe(2);
    expect(c.h.core.check()).toEqual([]);
    breakIt(c.h.core as unknown as Inside);
    expect(c.h.core.check().join('\n')).toContain(invariant);
  });
});

test.each<[string, (m: { state: number; session: unknown }) => void]>([
  ['a state that saves, without a session', (m) => (m.state = uapi.VFIO_DEVICE_STATE_STOP_COPY)],
  ['a session in a state that has none', (m) => (m.session = { direction: 'save', ended: false })],
])('I44: %s', (_what, breakIt) => {
  const { c } = boundBench({ ...EDU, model: 'migratable-engine' });
  expect(c.h.core.check()).toEqual([]);
  breakIt((c.h.core as unknown as { pci: { migration: { state: number; session: unknown } } }).pci.migration);
  expect(c.h.core.check().join()).toContain('I44: state');
});

test('random calls leave the invariants whole and end with nothing held', () => {
  let seed = 1;
  const below = (n: number): number => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 1) % n;
  const c = bench(E1000E);
  let open: string[] = [];
  const acts: ((dev: string) => unknown)[] = [
    (dev) => c.bind(dev),
    (dev) => c.attach(dev, below(3)),
    (dev) => c.ioctl(dev, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, {}),
    (dev) => c.setEventfds(dev, below(5), below(3), [10 + below(6), below(2) ? 11 : -1].slice(below(2))),
    (dev) => c.setIrqs(dev, [9, 17, 33, 34][below(4)]!, below(5), 0, below(2), [1]),
    (dev) => c.pwrite(dev, CONFIG + below(256), below(65536).toString(16).padStart(4, '0')),
    (dev) => c.poke(dev, [0x60, 0x64, 0x80, 0x88, 0x90, 0x98][below(6)]!, BigInt(below(8)), 4),
    (dev) => c.plain(dev, uapi.VFIO_DEVICE_RESET.nr),
    (dev) => (c.close(dev), (open = open.filter((d) => d !== dev))),
    () => c.h.restart(),
  ];
  for (let i = 0; i < 3000; i++) {
    if (open.length < 3 && below(4) === 0) open.push(c.open());
    if (open.length > 0) acts[below(acts.length)]!(open[below(open.length)]!);
    expect(c.h.core.check()).toEqual([]);
  }
  for (const dev of open) c.close(dev);
  expect(c.h.world).toMatchObject({ bound: 0, claims: 0, holds: new Map() });
  expect(new DeviceCore().figures()).toEqual(c.h.core.figures());
});
