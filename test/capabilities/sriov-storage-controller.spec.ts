/** An NVMe controller with 16 VFs, each in the hands of a program of its own, and the PF in those of another (I47). */
import { readFileSync } from 'node:fs';
import type { Process } from '@vfiolab/client';
import { deviceAddress, IOMMU } from '@vfiolab/core';
import { CALM, TestHost, type TestHostOptions } from '@vfiolab/sim';
import { VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { NvmeDriver, PAGE } from './support/nvme-driver.js';
import { type Device, NOTHING, Program } from './support/passthrough.js';

const PF = '0000:02:00.0';
const VFS = 16;
const file = new URL('../machines/storage-lab.json', import.meta.url);
const [CSTS, READY, FATAL] = [0x1c, 1n, 2n];
/** Virtualization Management, and what it does. */
const MANAGE = 0x1c;
const [OFFLINE, ASSIGN, ONLINE] = [7, 8, 9];
const QUEUE_RESOURCES = 0;

/** VF n is n + 8 functions behind its PF. */
const vfOf = (n: number): string => `0000:02:${(1 + (n >> 3)).toString(16).padStart(2, '0')}.${n & 7}`;
const dataOf = (n: number, round = 0): Buffer => Buffer.alloc(PAGE, 1 + n * 16 + round);

class SriovDisk {
  readonly vfs: NvmeDriver[] = [];
  readonly programs: Program[] = [];
  readonly pf: NvmeDriver[] = [];

  private constructor(
    readonly host: TestHost,
    readonly root: Process,
    private readonly count: number,
  ) {}

  /** VFs are with vfio-pci when they come, as the PF is. `opened`: those that programs start. */
  static async boot(count: number, opened = count, trouble: Partial<TestHostOptions> = {}): Promise<SriovDisk> {
    const description = JSON.parse(readFileSync(file, 'utf8')) as { functions: { bdf: string }[] };
    const functions = description.functions.map((f) => (f.bdf === PF ? { ...f, driver: 'vfio-pci' } : f));
    const machine = JSON.stringify({ ...description, functions });
    const host = await TestHost.boot({ machine, profile: '6.12', ...trouble });
    const disk = new SriovDisk(host, await host.process('root'), count);
    expect(await disk.set('/sys/module/vfio_pci/parameters/enable_sriov', '1')).toBe(true);
    const program = await disk.program('pf');
    disk.pf.push(await NvmeDriver.start(program, PF));
    expect(await disk.numVfs(count)).toBe(true);
    for (let n = 0; n < opened; n++) await disk.open(n);
    return disk;
  }

  async set(path: string, data: string): Promise<boolean> {
    return (await this.host.run(this.root.sysfsWrite(path, data))).ok;
  }

  numVfs(count: number): Promise<boolean> {
    return this.set(`/sys/bus/pci/devices/${PF}/sriov_numvfs`, String(count));
  }

  async program(name: string): Promise<Program> {
    const program = await Program.start(this.host, await this.host.process(name));
    this.programs.push(program);
    return program;
  }

  async open(n: number): Promise<NvmeDriver> {
    return (this.vfs[n] = await NvmeDriver.start(await this.program(`vf-${this.programs.length}`), vfOf(n)));
  }

  /** The program's function and memory, without starting a controller. */
  async opened(n: number): Promise<Device> {
    return (await this.program(`look-${this.programs.length}`)).device(vfOf(n));
  }

  manage(action: number, n: number, count = 0): Promise<number> {
    const dwords = [action | (QUEUE_RESOURCES << 8) | ((n + 1) << 16), count];
    return this.pf[0]!.run(0, { opcode: MANAGE, dwords });
  }

  pause(ms = 200): Promise<void> {
    return this.host.run(this.root.link.ports.sleep(ms));
  }

  exit(driver: NvmeDriver): Promise<unknown> {
    return this.host.run(driver.program.process.exit());
  }

  async link(bdf: string, name: string): Promise<string> {
    const target = await this.host.run(this.root.readlink(`/sys/bus/pci/devices/${bdf}/${name}`));
    return target.ok ? target.value.replace(/.*\//, '') : target.errno;
  }

  async end(): Promise<void> {
    for (const program of this.programs.reverse()) await this.host.run(program.process.exit());
    await this.pause();
    expect(this.host.broken()).toEqual([]);
    for (const bdf of [PF, ...Array.from({ length: this.count }, (_, n) => vfOf(n))])
      expect(this.host.figures(deviceAddress(bdf))).toEqual(NOTHING);
  }
}

it('16 VFs have groups and blocks of their own, and go when SR-IOV is switched off', async () => {
  const disk = await SriovDisk.boot(VFS);
  const names = Array.from({ length: VFS }, (_, n) => vfOf(n));
  const groups = await Promise.all([PF, ...names].map((bdf) => disk.link(bdf, 'iommu_group')));
  expect(new Set(groups).size).toBe(VFS + 1);
  expect(new Set(await Promise.all(names.map((bdf) => disk.link(bdf, 'driver'))))).toEqual(new Set(['vfio-pci']));
  const all = [...disk.vfs, disk.pf[0]!];
  for (const [n, driver] of all.entries()) expect(await driver.write(0, dataOf(n))).toBe(0);
  for (const [n, driver] of all.entries()) expect([n, await driver.read(0, PAGE)]).toEqual([n, dataOf(n)]);
  for (const driver of disk.vfs) await disk.exit(driver);
  await disk.pause();
  expect(await disk.numVfs(0)).toBe(true);
  expect(await disk.link(vfOf(0), 'driver')).toBe('ENOENT');
  expect(await disk.pf[0]!.read(0, PAGE)).toEqual(dataOf(VFS));
  await disk.end();
}, 120_000);

it('a VF’s DMA reaches what its own program has mapped and nothing else', async () => {
  const disk = await SriovDisk.boot(2);
  const [a, b] = disk.vfs as [NvmeDriver, NvmeDriver];
  const va = await b.program.mapped(0x900000n, PAGE);
  await b.program.must(b.program.process.write(va, dataOf(9)));
  const outside = { opcode: 2, prp1: 0x900000n, dwords: [0, 0, 7] };
  expect(await a.run(1, outside)).not.toBe(0);
  expect(Buffer.from(await b.program.must(b.program.process.read(va, PAGE)))).toEqual(dataOf(9));
  expect(await b.run(1, outside)).toBe(0);
  expect(Buffer.from(await b.program.must(b.program.process.read(va, PAGE)))).toEqual(Buffer.alloc(PAGE));
  await disk.end();
});

it('a VF’s next owner finds its blocks and none of its registers; another’s reset is no affair of its', async () => {
  const disk = await SriovDisk.boot(2);
  const [a, b] = disk.vfs as [NvmeDriver, NvmeDriver];
  expect(await a.write(0, dataOf(1))).toBe(0);
  expect((await disk.host.run(a.program.process.ioctlPlain(a.device.fd, VFIO_DEVICE_RESET))).errno).toBeUndefined();
  expect([await a.status(), await b.status()]).toEqual([0n, READY]);
  await disk.exit(a);
  await disk.pause();
  const next = await disk.opened(0);
  expect([await next.read(CSTS), await next.read(0x24), await next.read(0x28, 8)]).toEqual([0n, 0n, 0n]);
  await disk.host.run(next.p.process.exit());
  await disk.pause();
  expect(await (await disk.open(0)).read(0, PAGE)).toEqual(dataOf(1));
  await disk.end();
});

it('the PF’s program takes VFs offline, gives their queues to others, and lets them work again', async () => {
  const disk = await SriovDisk.boot(3, 2);
  const [a, b] = disk.vfs as [NvmeDriver, NvmeDriver];
  expect(await disk.manage(OFFLINE, 0)).toBe(0);
  expect([await a.status(), await b.status()]).toEqual([FATAL, READY]);
  await expect(a.run(1, { opcode: 0 })).rejects.toThrow('no completion');
  expect(await disk.manage(ONLINE, 0)).not.toBe(0);
  // Nobody has opened VF 2 yet, and whoever does finds out.
  expect(await disk.manage(OFFLINE, 2)).toBe(0);
  const c = await disk.opened(2);
  expect(await c.read(CSTS)).toBe(FATAL);
  await disk.host.run(c.p.process.exit());
  expect(await disk.manage(ASSIGN, 0, 10)).toBe(0);
  expect(await disk.pf[0]!.run(0, { opcode: MANAGE, dwords: [ASSIGN | (1 << 8) | (1 << 16), 5] })).toBe(0);
  expect(await disk.manage(ONLINE, 0)).toBe(0);
  expect(await a.status()).toBe(0n);
  await disk.exit(a);
  await disk.pause();
  expect(await (await disk.open(0)).write(0, dataOf(0))).toBe(0);
  expect(await b.write(0, dataOf(1))).toBe(0);
  await disk.end();
});

it('when the PF’s program goes, its VFs begin anew', async () => {
  const disk = await SriovDisk.boot(2);
  const [a, b] = disk.vfs as [NvmeDriver, NvmeDriver];
  expect(await disk.manage(OFFLINE, 0)).toBe(0);
  await disk.exit(disk.pf[0]!);
  await disk.pause();
  expect([await a.status(), await b.status()]).toEqual([0n, 0n]);
  await disk.exit(a);
  await disk.pause();
  expect(await (await disk.open(0)).write(0, dataOf(0))).toBe(0);
  await disk.end();
});

it('a reset of the PF in the middle of its VFs’ commands, and of being told about them, leaves all as after power-on', async () => {
  const disk = await SriovDisk.boot(2);
  const [a, b] = disk.vfs as [NvmeDriver, NvmeDriver];
  const { device, program } = disk.pf[0]!;
  const reset = async (): Promise<number> => (await program.process.ioctlPlain(device.fd, VFIO_DEVICE_RESET)).ret;
  const gone = (): number => -1;
  const all = Promise.all(
    [a.write(0, dataOf(0)), disk.manage(OFFLINE, 0), reset(), b.write(0, dataOf(1))].map((each) => each.catch(gone)),
  );
  expect((await disk.host.run(all))[2]).toBe(0);
  expect([await a.status(), await b.status(), await disk.pf[0]!.status()]).toEqual([0n, 0n, 0n]);
  await disk.exit(a);
  await disk.pause();
  expect(await (await disk.open(0)).write(8, dataOf(2))).toBe(0);
  await disk.end();
});

it.each([
  ['a VF', deviceAddress(vfOf(0))],
  ['the PF', deviceAddress(PF)],
  ['the IOMMU', IOMMU],
])(
  '%s is killed between and in the middle of commands: each is done once, and nothing stored is lost',
  async (_who, at) => {
    const disk = await SriovDisk.boot(2);
    for (let round = 0; round < 4; round++)
      for (const [n, driver] of disk.vfs.entries()) {
        const writing = driver.write(8 * round, dataOf(n, round));
        disk.host.host.crash(at, 5);
        expect(await writing).toBe(0);
      }
    const offline = disk.manage(OFFLINE, 1);
    disk.host.host.crash(at, 5);
    expect(await offline).toBe(0);
    expect(await disk.vfs[1]!.status()).toBe(FATAL);
    for (let round = 0; round < 4; round++) expect(await disk.vfs[0]!.read(8 * round, PAGE)).toEqual(dataOf(0, round));
    await disk.end();
  },
);

const ROUGH = { loss: 0.1, duplication: 0.1, delay: 0.2, delayMs: 50, crash: 0.005, maxCrashes: 8, downMs: 100 };
it.each([1, 2, 3])('on a bus that loses, doubles and delays, between services that crash (seed %i)', async (seed) => {
  const disk = await SriovDisk.boot(3, 3, { seed, options: { ...CALM, ...ROUGH, snapshotEvery: 12 } });
  for (let round = 0; round < 3; round++)
    for (const [n, driver] of disk.vfs.entries()) expect(await driver.write(8 * round, dataOf(n, round))).toBe(0);
  expect(await disk.manage(OFFLINE, 2)).toBe(0);
  expect(await disk.vfs[2]!.status()).toBe(FATAL);
  for (let round = 0; round < 3; round++)
    for (const [n, driver] of disk.vfs.slice(0, 2).entries())
      expect(await driver.read(8 * round, PAGE)).toEqual(dataOf(n, round));
  await disk.pause(20_000);
  await disk.end();
});
