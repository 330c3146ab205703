/** Capability 110: a fault on a BAR brings in as large a piece as its place allows, since Linux 6.12. */
import { CALM, type Costs, DEFAULT_COSTS, TestHost } from '@vfiolab/sim';
import { type Result, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_RESET } from '@vfiolab/uapi';

const [PAGE, MIB, GIB] = [4096, 2 ** 20, 2 ** 30];
const BAR = 2 * GIB;
const VA = 0x7e00_0000_0000;
const COMMAND = 7 * 2 ** 40 + 4;
const MACHINE = JSON.stringify({
  format: 'pci-topology-fixture/1',
  functions: [
    {
      ...{ bdf: '0000:00:03.0', vendor: '0x1234', device: '0x11e8', class: '0x00ff00', driver: 'vfio-pci' },
      pcie_type: 'rciep',
      bars: [{ index: 0, kind: 'mem', bits: 64, prefetchable: true, size: BAR }],
    },
  ],
});

async function bench(costs: Partial<Costs> = {}) {
  const options = { ...CALM, costs: { ...DEFAULT_COSTS, ...costs } };
  const host = await TestHost.boot({ machine: MACHINE, profile: '7.2', options });
  const p = await host.process('vmm');
  const must = async <T>(work: Promise<Result<T>>): Promise<T> => {
    const r = await host.run(work);
    if (!r.ok) throw new Error(r.errno);
    return r.value;
  };
  const iommufd = await must(p.open('/dev/iommu'));
  const fd = await must(p.open('/dev/vfio/devices/vfio0'));
  await host.run(p.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd }));
  const command = (bits: number) => must(p.pwrite(fd, COMMAND, Uint8Array.of(bits, 0)));
  await command(6);
  const map = (va: number, length: number, offset = 0) => must(p.mapDevice(fd, offset, length, { va }));
  /** Loads at every `step` of the range: faults by order, and the virtual time in ms. */
  const walk = async (va: number, length: number, step: number) => {
    const { faults } = host.host.work!.figures;
    const before = { ...faults };
    const began = host.host.agenda.now;
    for (let at = 0; at < length; at += step) await must(p.load(va + at, 4));
    const orders = ([18, 9, 0] as const).map((order) => faults[order] - before[order]);
    return { orders, ms: host.host.agenda.now - began };
  };
  return { host, p, fd, map, walk, command, must };
}

it('110: order reported, fault count falls (cost model)', async () => {
  const counts: number[] = [];
  const times: number[] = [];
  for (const [faultOrder, expected] of [
    [0, [0, 0, 256]],
    [9, [0, 128, 0]],
    [18, [1, 0, 0]],
  ] as const) {
    const { host, map, walk } = await bench({ faultOrder, fault: 2e6 });
    await map(VA, GIB);
    // Two loads in each 2 MiB of the first quarter.
    const { orders, ms } = await walk(VA, 256 * MIB, MIB);
    expect(orders).toEqual(expected);
    counts.push(orders.reduce((a, b) => a + b));
    times.push(ms);
    expect(host.broken()).toEqual([]);
  }
  expect(counts).toEqual([256, 128, 1]);
  // 2 ms each; the loads themselves take the same.
  expect([times[0]! - times[1]!, times[1]! - times[2]!].map((ms) => Math.round(ms))).toEqual([256, 254]);
});

it.each([
  ['address and offset on 1 GiB', VA, 0, GIB, [1, 0, 0]],
  ['too short for 1 GiB', VA, 0, GIB - PAGE, [0, 4, 0]],
  ['an offset of 2 MiB at an address of 1 GiB', VA, 2 * MIB, GIB, [0, 4, 0]],
  ['an address and an offset with the same rest', VA + GIB - 2 * MIB, GIB - 2 * MIB, GIB + 2 * MIB, [1, 1, 0]],
  ['an address that is on no 2 MiB', VA + PAGE, 0, GIB, [0, 0, 4]],
  ['the same rest of 2 MiB', VA + PAGE, PAGE, GIB, [0, 3, 1]],
] as const)('110: %s', async (_title, va, offset, length, expected) => {
  const { map, walk } = await bench();
  await map(va, length, offset);
  // Four loads, 2 MiB from each other.
  expect((await walk(va, 8 * MIB, 2 * MIB)).orders).toEqual(expected);
  expect((await walk(va, 8 * MIB, 2 * MIB)).orders).toEqual([0, 0, 0]);
});

it('110: what is zapped faults again, and what is unmapped is forgotten', async () => {
  const { p, fd, map, walk, command, host, must } = await bench();
  await map(VA, GIB);
  expect((await walk(VA, 4 * MIB, MIB)).orders).toEqual([1, 0, 0]);
  await command(4);
  expect(await host.run(p.load(VA, 4))).toEqual({ ok: false, errno: 'EIO' });
  await command(6);
  expect((await walk(VA, 4 * MIB, MIB)).orders).toEqual([1, 0, 0]);
  expect((await host.run(p.ioctlPlain(fd, VFIO_DEVICE_RESET))).errno).toBeUndefined();
  expect((await walk(VA, 4 * MIB, MIB)).orders).toEqual([1, 0, 0]);
  await must(p.munmap(VA, GIB));
  await map(VA, 4 * MIB);
  expect((await walk(VA, 4 * MIB, MIB)).orders).toEqual([0, 2, 0]);
});
