/** A network card with 64 VFs, each in the hands of a program of its own, and the PF in those of another (I47). */
import { readFileSync } from 'node:fs';
import type { Process } from '@vfiolab/client';
import { deviceAddress } from '@vfiolab/core';
import { sriovNic as reg } from '@vfiolab/devices';
import { CALM, TestHost, type TestHostOptions } from '@vfiolab/sim';
import { VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { frameOf, REG } from './support/e1000e-driver.js';
import { openCard, type Opened } from './support/network-card.js';
import { NOTHING, Program } from './support/passthrough.js';

const PF = '0000:03:00.0';
const VFS = 64;
const file = new URL('../machines/network-lab.json', import.meta.url);
const LINK_UP = 2;

/** VF n is n + 8 functions behind its PF. */
const vfOf = (n: number): string => `0000:03:${(1 + (n >> 3)).toString(16).padStart(2, '0')}.${n & 7}`;
const macOf = (n: number): Buffer => Buffer.of(2, 0, 0, 0xff, 0, n);
const row = (n: number): number => reg.ROWS + n * reg.ROW_BYTES;

class SriovCard {
  readonly vfs: Opened[] = [];
  readonly programs: Program[] = [];

  private constructor(
    readonly host: TestHost,
    private readonly clock: Process,
    readonly pf: Opened,
  ) {}

  /** The PF's program grants addresses to `count` VFs and switches on; each VF is opened by a program. */
  static async boot(count: number, trouble: Partial<TestHostOptions> = {}): Promise<SriovCard> {
    const description = JSON.parse(readFileSync(file, 'utf8')) as { functions: { bdf: string }[] };
    const functions = description.functions.map((f) => (f.bdf === PF ? { ...f, driver: 'vfio-pci' } : f));
    const machine = JSON.stringify({ ...description, functions });
    const host = await TestHost.boot({ machine, profile: '6.12', ...trouble });
    const root = await host.process('root');
    const write = async (path: string, data: string): Promise<void> => {
      expect((await host.run(root.sysfsWrite(path, data))).ok).toBe(true);
    };
    await write('/sys/module/vfio_pci/parameters/enable_sriov', '1');
    const program = await Program.start(host, await host.process('pf'));
    const card = new SriovCard(host, root, await openCard(program, PF));
    card.programs.push(program);
    await write(`/sys/bus/pci/devices/${PF}/sriov_numvfs`, String(count));
    for (let n = 0; n < count; n++) await card.grant(n);
    await card.set(reg.SWITCH_CONTROL, reg.SWITCH_ON);
    for (let n = 0; n < count; n++) await card.open(n);
    return card;
  }

  private async grant(n: number): Promise<void> {
    await this.set(row(n) + reg.ROW_MAC_LOW, macOf(n).readUInt32LE(0));
    await this.set(row(n) + reg.ROW_MAC_HIGH, reg.VALID + macOf(n).readUInt16LE(4));
    await this.set(row(n) + reg.ROW_CONTROL, reg.VF_ENABLED);
  }

  async open(n: number): Promise<Opened> {
    const program = await Program.start(this.host, await this.host.process(`vf-${this.programs.length}`));
    this.programs.push(program);
    return (this.vfs[n] = await openCard(program, vfOf(n)));
  }

  set(offset: number, value: number): Promise<void> {
    return this.pf.driver.card.write(offset, value);
  }

  get(offset: number): Promise<number> {
    return this.pf.driver.card.read(offset);
  }

  pause(ms = 200): Promise<void> {
    return this.host.run(this.clock.link.ports.sleep(ms));
  }

  async link(bdf: string, name: string): Promise<string> {
    const target = await this.host.run(this.clock.readlink(`/sys/bus/pci/devices/${bdf}/${name}`));
    return target.ok ? target.value.replace(/.*\//, '') : target.errno;
  }

  async end(): Promise<void> {
    for (const program of this.programs.reverse()) await this.host.run(program.process.exit());
    await this.pause();
    expect(this.host.broken()).toEqual([]);
    const functions = [PF, ...this.vfs.map((_, n) => vfOf(n))];
    for (const bdf of functions) expect(this.host.figures(deviceAddress(bdf))).toEqual(NOTHING);
  }
}

it('64 VFs have groups of their own, and each sends to the next, which alone receives', async () => {
  const card = await SriovCard.boot(VFS);
  const groups = await Promise.all(card.vfs.map((_, n) => card.link(vfOf(n), 'iommu_group')));
  expect(new Set([...groups, await card.link(PF, 'iommu_group')]).size).toBe(VFS + 1);
  await card.pause();
  const to = (n: number): number => (n + 1) % VFS;
  const frames = card.vfs.map((_, n) => frameOf(macOf(to(n)), macOf(n), Buffer.alloc(100 + 16 * n, n)));
  for (const [n, { driver }] of card.vfs.entries()) {
    expect((await driver.card.read(REG.status)) & LINK_UP).toBe(LINK_UP);
    await driver.send(frames[n]!);
  }
  await card.pause();
  for (const [n, { driver }] of card.vfs.entries())
    expect([n, await driver.received()]).toEqual([n, [frames.at(n - 1)]]);
  expect([await card.pf.driver.received(), await card.get(reg.SWITCH_DROPS)]).toEqual([[], 0]);
  await card.end();
}, 120_000);

it('one VF’s reset is told to the PF, and its next program finds nothing of the last', async () => {
  const card = await SriovCard.boot(2);
  const [a, b] = card.vfs as [Opened, Opened];
  await card.pause();
  await card.set(reg.RESETS, 0xffff_ffff);
  await a.driver.card.write(reg.VF_OUT, 0x1234);
  await a.driver.card.write(reg.VF_DOORBELL, reg.SEND);
  await card.pause();
  expect([await card.get(reg.MESSAGES), await card.get(row(0) + reg.ROW_IN)]).toEqual([1, 0x1234]);
  expect((await card.host.run(a.device.p.process.ioctlPlain(a.device.fd, VFIO_DEVICE_RESET))).errno).toBeUndefined();
  await card.pause();
  expect([await card.get(reg.RESETS), await card.get(row(0) + reg.ROW_STATUS)]).toEqual([1, 0]);
  await card.set(row(0) + reg.ROW_OUT, 7);
  await card.set(row(0) + reg.ROW_DOORBELL, reg.SEND);
  await card.host.run(a.device.p.process.exit());
  await card.pause();
  const next = await card.open(0);
  await card.pause();
  expect(await next.driver.card.read(reg.VF_IN)).toBe(0);
  const frame = frameOf(macOf(0), macOf(1), Buffer.alloc(64, 3));
  await b.driver.send(frame);
  await card.pause();
  expect(await next.driver.received()).toEqual([frame]);
  await card.end();
});

it('when the PF’s program goes, its VFs have no link any more', async () => {
  const card = await SriovCard.boot(2);
  await card.pause();
  await card.host.run(card.pf.device.p.process.exit());
  await card.pause();
  const [a] = card.vfs as [Opened];
  expect((await a.driver.card.read(REG.status)) & LINK_UP).toBe(0);
  await card.end();
});

it('the PF and a VF are killed in the middle of frames and messages: each comes once', async () => {
  const card = await SriovCard.boot(2);
  await card.pause(1000);
  const [a, b] = card.vfs as [Opened, Opened];
  const frames = Array.from({ length: 8 }, (_, i) => frameOf(macOf(1), macOf(0), Buffer.alloc(64 + i, i)));
  for (const [i, frame] of frames.entries()) {
    const sending = a.driver.send(frame);
    card.host.host.crash(deviceAddress(i % 2 === 0 ? PF : vfOf(1)), 5);
    await sending;
    await a.driver.card.write(reg.VF_OUT, i);
    await a.driver.card.write(reg.VF_DOORBELL, reg.SEND);
    card.host.host.crash(deviceAddress(i % 2 === 0 ? vfOf(0) : PF), 5);
    await card.pause(1000);
    expect(await card.get(row(0) + reg.ROW_IN)).toBe(i);
    await card.set(row(0) + reg.ROW_DOORBELL, reg.TAKEN);
    await card.pause(1000);
  }
  expect(await b.driver.received()).toEqual(frames);
  await card.end();
});

const ROUGH = { loss: 0.1, duplication: 0.1, delay: 0.2, delayMs: 50, crash: 0.005, maxCrashes: 8, downMs: 100 };
it.each([1, 2, 3])('on a bus that loses, doubles and delays, between services that crash (seed %i)', async (seed) => {
  const card = await SriovCard.boot(3, { seed, options: { ...CALM, ...ROUGH, snapshotEvery: 12 } });
  await card.pause(20_000);
  const frames = Array.from({ length: 9 }, (_, i) =>
    frameOf(macOf((i + 1) % 3), macOf(i % 3), Buffer.alloc(64 + i, i)),
  );
  for (const [i, frame] of frames.entries()) await card.vfs[i % 3]!.driver.send(frame);
  await card.vfs[1]!.driver.card.write(reg.VF_OUT, 0x77);
  await card.vfs[1]!.driver.card.write(reg.VF_DOORBELL, reg.SEND);
  await card.pause(20_000);
  for (const [n, { driver }] of card.vfs.entries())
    expect(await driver.received()).toEqual(frames.filter((_, i) => (i + 1) % 3 === n));
  expect([await card.get(row(1) + reg.ROW_IN), await card.get(reg.MESSAGES)]).toEqual([0x77, 2]);
  await card.end();
});
