/** Capability 102: GET_INFO tells which AtomicOps reach memory. */
import { TestHost } from '@vfiolab/sim';
import * as uapi from '@vfiolab/uapi';

const [COMP32, COMP64, COMP128] = [0x80, 0x100, 0x200];
const ALL = COMP32 | COMP64 | COMP128;
const [ROUTES, BLOCKS, MAY_SEND] = [0x40, 0x80, 0x40];
const DEVICE = '0000:03:00.0';
const EXPRESS = 0x40;
const CONTROL_2 = 7 * 2 ** 40 + EXPRESS + 0x28;

interface Port {
  readonly cap2?: number;
  readonly ctl2?: number;
  readonly version?: number;
}

/** Config space with a PCI Express capability of this kind. */
function config(type: number, { cap2 = 0, ctl2 = 0, version = 2 }: Port, header = 0): string {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  view.setUint16(6, 0x10, true);
  bytes[0x0e] = header;
  bytes[0x34] = EXPRESS;
  bytes[EXPRESS] = 0x10;
  view.setUint16(EXPRESS + 2, version | (type << 4), true);
  view.setUint16(EXPRESS + 0x24, cap2, true);
  view.setUint16(EXPRESS + 0x28, ctl2, true);
  return Buffer.from(bytes).toString('hex');
}

const TYPES = { root_port: 4, upstream: 5, downstream: 6 };
const port = (bdf: string, bus: number, last: number, pcie_type: keyof typeof TYPES, of: Port) => ({
  ...{ bdf, vendor: '0x1b36', device: '0x000c', class: '0x060400', header_type: 1, pcie_type },
  ...{ primary_bus: bus - 1, secondary_bus: bus, subordinate_bus: last, config: config(TYPES[pcie_type], of, 1) },
});

interface Way {
  readonly device?: Port;
  readonly root?: Port;
  readonly up?: Port;
  readonly down?: Port;
  readonly rootComplex?: boolean;
}

async function open({ device = { cap2: ALL }, root = { cap2: ALL }, ...rest }: Way) {
  const { up = { cap2: ROUTES }, down = { cap2: ROUTES }, rootComplex } = rest;
  const bdf = rootComplex ? '0000:00:03.0' : DEVICE;
  const endpoint = {
    ...{ bdf, vendor: '0x1234', device: '0x11e8', class: '0x00ff00', header_type: 0, driver: 'vfio-pci' },
    pcie_type: rootComplex ? 'rciep' : 'endpoint',
    bars: [{ index: 0, kind: 'mem', bits: 32, prefetchable: false, size: 65536 }],
    config: config(rootComplex ? 9 : 0, device),
  };
  const functions = rootComplex
    ? [endpoint]
    : [
        port('0000:00:01.0', 1, 3, 'root_port', root),
        port('0000:01:00.0', 2, 3, 'upstream', up),
        port('0000:02:00.0', 3, 3, 'downstream', down),
        endpoint,
      ];
  const machine = JSON.stringify({ format: 'pci-topology-fixture/1', functions });
  const host = await TestHost.boot({ machine, profile: '7.2' });
  const p = await host.process('vmm');
  const must = async <T>(work: Promise<uapi.Result<T>>): Promise<T> => {
    const r = await host.run(work);
    if (!r.ok) throw new Error(r.errno);
    return r.value;
  };
  const iommufd = await must(p.open('/dev/iommu'));
  const fd = await must(p.open('/dev/vfio/devices/vfio0'));
  await host.run(p.ioctl(fd, uapi.VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd }));
  const info = async (argsz = 64) => {
    const { out, tail } = await host.run(p.ioctl(fd, uapi.VFIO_DEVICE_GET_INFO, { argsz }, { room: 40 }));
    const reply = new Uint8Array(24 + tail.length);
    reply.set(tail, 24);
    const cap = uapi.parseChain(reply, out.cap_offset).find(({ id }) => id === 5);
    return { out, sizes: cap && new Uint32Array(cap.body.slice(0, 8).buffer)[0] };
  };
  const maySend = async () => ((await must(p.pread(fd, CONTROL_2, 2)))[0]! & MAY_SEND) !== 0;
  return { host, info, maySend };
}

it.each<[string, Way, number | undefined]>([
  ['all that root port and function complete', {}, 7],
  ['the root port completes 64 bits', { root: { cap2: COMP64 } }, 2],
  ['the root port completes 32 and 128', { root: { cap2: COMP32 | COMP128 } }, 5],
  ['the function completes less', { device: { cap2: COMP32 } }, 1],
  ['the root port completes none', { root: { cap2: ROUTES } }, undefined],
  ['a root port of version 1', { root: { cap2: ALL, version: 1 } }, undefined],
  ['a switch that does not route upwards', { up: {} }, undefined],
  ['a switch that does not route downwards', { down: {} }, undefined],
  ['a switch that blocks them', { up: { cap2: ROUTES, ctl2: BLOCKS } }, undefined],
  ['the downstream port may block', { down: { cap2: ROUTES, ctl2: BLOCKS } }, 7],
  ['no root port to see', { rootComplex: true }, undefined],
  ['no root port to see, and switched on before', { rootComplex: true, device: { cap2: ALL, ctl2: MAY_SEND } }, 7],
])('102: cap 5 flags follow root port: %s', async (_title, way, sizes) => {
  const { host, info } = await open(way);
  const told = await info();
  expect([told.sizes, told.out.flags & 0x80]).toEqual([sizes, sizes === undefined ? 0 : 0x80]);
  expect(host.broken()).toEqual([]);
});

it('102: asking lets the function send them; a buffer that is too small is told what would do', async () => {
  const { host, info, maySend } = await open({});
  expect(await maySend()).toBe(false);
  const { out, sizes } = await info(24);
  expect([out.argsz, out.cap_offset, out.flags & 0x80, sizes]).toEqual([40, 0, 0x80, undefined]);
  expect(await maySend()).toBe(true);
  expect((await info(40)).sizes).toBe(7);
  expect(host.broken()).toEqual([]);
});
