/**
 * A machine whose functions are PFs, below one port that isolates, with buses 1 and 2; and a client that writes to their files.
 *
 * PFs: 01:00.0 with the nvme driver, 01:01.0 with igb (VFs of igbvf at 01:11.0, .2, ...), 01:02.0 with a driver that leaves SR-IOV
 * alone, 01:03.0 of which one capability contradicts itself, 01:04.0 whose VFs would be on bus 4; and 01:05.0, which is no PF.
 */
import type { HostSetup } from '@vfiolab/core';
import { files, type Services, sealedBench, SETUP } from './machines.js';

const port = { vendor: '0x1b36', device: '0x000c', class: '0x060400', header_type: 1, pcie_type: 'root_port' };
const buses = { primary_bus: 0, secondary_bus: 1, subordinate_bus: 2, acs: { offset: 328, cap: 95, ctrl: 29 } };
const net = { header_type: 0, pcie_type: 'endpoint', vendor: '0x8086', class: '0x020000' };
const counts = { initial: 4, total: 4, num: 0, offset: 1, stride: 1, vf_device: '0x0010' };
const bar = { index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 16384, vf: true };

const FUNCTIONS = [
  { bdf: '0000:00:01.0', ...port, ...buses },
  { bdf: '0000:01:00.0', ...net, device: '0x0010', class: '0x010802', driver: 'nvme', sriov: counts, bars: [bar] },
  {
    ...{ bdf: '0000:01:01.0', ...net, device: '0x10c9', driver: 'igb', vf: { driver: 'igbvf' } },
    sriov: { ...counts, offset: 128, stride: 2, vf_device: '0x10ca' },
  },
  { bdf: '0000:01:02.0', ...net, device: '0x1657', driver: 'tg3', sriov: counts },
  { bdf: '0000:01:03.0', ...net, device: '0x10c9', driver: 'igb', sriov: { ...counts, initial: 3 } },
  { bdf: '0000:01:04.0', ...net, device: '0x10c9', driver: 'igb', sriov: { ...counts, offset: 768 } },
  { bdf: '0000:01:05.0', ...net, device: '0x10d3' },
];

export const SRIOV_MACHINE = JSON.stringify({ format: 'pci-topology-fixture/1', id: 'sriov', functions: FUNCTIONS });

export const [NVME, IGB] = ['0000:01:00.0', '0000:01:01.0'];

export function sriovBench(services: Services = {}, setup: Partial<HostSetup> = {}, machine = SRIOV_MACHINE) {
  const iommu = { remove: () => undefined, ...services.iommu };
  const bench = sealedBench({ ...services, iommu }, { ...SETUP, ...setup }, machine);
  const fs = files(bench);
  const at = (bdf: string, file: string): string => `/sys/bus/pci/devices/${bdf}/${file}`;
  const unbind = (bdf: string) => fs.write(at(bdf, 'driver/unbind'), bdf);
  const bind = (bdf: string, driver: string) => {
    fs.write(at(bdf, 'driver_override'), driver);
    return fs.write(`/sys/bus/pci/drivers/${driver}/bind`, bdf);
  };
  return {
    bench,
    fs,
    unbind,
    bind,
    numVfs: (bdf: string, count: number | string) => fs.write(at(bdf, 'sriov_numvfs'), String(count)),
    read: (bdf: string, file: string) => fs.read(at(bdf, file)),
    link: (bdf: string, file: string) => fs.readlink(at(bdf, file)).replace(/.*\//, ''),
    vfs: () => [...bench.core.host!.devices.values()].filter(({ facts }) => facts.isVf).map(({ bdf }) => bdf),
    /** vfio-pci in the place of the driver of a PF, and allowed to switch VFs. */
    toVfio: (bdf: string) => {
      unbind(bdf);
      fs.write('/sys/module/vfio_pci/parameters/enable_sriov', '1');
      return bind(bdf, 'vfio-pci');
    },
  };
}
