/**
 * A machine whose functions share buses, for tests of hot resets.
 *
 * Words: *pair*: two functions of one device behind a port, each alone in its group; *mixed*: the same, but its neighbour
 * belongs to an ordinary driver; *bridged*: two devices behind a PCIe-to-PCI bridge, in one group; *root*: on the root bus.
 */
import type { IoctlAnswer } from '@vfiolab/client';
import { decode, type vfio_pci_hot_reset_info, vfio_pci_dependent_device } from '@vfiolab/uapi';
import { ContainerLab, type VfioProgram } from './container-lab.js';

export const PAIR = ['0000:01:00.0', '0000:01:00.1'] as const;
export const MIXED = '0000:02:00.0';
export const CARD = '0000:02:00.1';
export const BRIDGED = ['0000:03:01.0', '0000:03:02.0'] as const;
export const ROOT = '0000:00:05.0';

/** A register of the DMA engine that keeps what is written to it, until a reset. */
export const SOURCE = 0x80;

const isolated = { acs: { cap: 0x1d, ctrl: 0x1d } };
const engine = (bdf: string, more: object = {}) => ({
  bdf,
  vendor: '0x1234',
  device: '0x11e8',
  class: '0x00ff00',
  header_type: 0,
  driver: 'vfio-pci',
  bars: [{ index: 0, kind: 'mem', bits: 32, prefetchable: false, size: 1 << 20 }],
  ...more,
});
const bridge = (bdf: string, secondary: number, pcie_type: string) => ({
  bdf,
  vendor: '0x1b36',
  device: '0x000c',
  class: '0x060400',
  header_type: 1,
  pcie_type,
  primary_bus: 0,
  secondary_bus: secondary,
  subordinate_bus: secondary,
  ...isolated,
});
const inCard = { pcie_type: 'endpoint', multifunction: true, ...isolated };

const functions = [
  bridge('0000:00:01.0', 1, 'root_port'),
  bridge('0000:00:02.0', 2, 'root_port'),
  bridge('0000:00:03.0', 3, 'pcie_to_pci_bridge'),
  engine(ROOT),
  ...PAIR.map((bdf) => engine(bdf, inCard)),
  engine(MIXED, inCard),
  engine(CARD, { ...inCard, vendor: '0x8086', device: '0x10d3', class: '0x020000', driver: 'e1000e' }),
  ...BRIDGED.map((bdf) => engine(bdf)),
];

export const boot = (): Promise<ContainerLab> =>
  ContainerLab.boot({ description: JSON.stringify({ format: 'pci-topology-fixture/1', id: 'buses', functions }) });

/** What GET_PCI_HOT_RESET_INFO answered: `words`: group numbers or device ids; `functions`: bus and devfn. */
export function devicesOf({ errno, out, tail }: IoctlAnswer<typeof vfio_pci_hot_reset_info>) {
  if (errno) throw new Error(errno);
  const devices = Array.from({ length: out.count }, (_, i) => decode(vfio_pci_dependent_device, tail, 8 * i));
  return {
    flags: out.flags,
    words: devices.map(({ devid }) => devid),
    functions: devices.map(({ bus, devfn }) => [bus, devfn]),
  };
}

/** Reads the register, after writing it when there is a value. */
export async function register(p: VfioProgram, fd: number, value?: bigint): Promise<bigint> {
  if (value !== undefined) await p.must(p.process.pwrite(fd, SOURCE, new Uint8Array(BigUint64Array.of(value).buffer)));
  const bytes = await p.must(p.process.pread(fd, SOURCE, 8));
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}
