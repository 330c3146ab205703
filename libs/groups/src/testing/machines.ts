/**
 * A small machine for tests and a bench with the groups core on it.
 *
 * The machine: a host bridge; an "edu" device alone (00:03.0); a two-function edu device in one group (00:04); an NVMe
 * function and an edu function in one group (00:05); a root port without ACS (00:06.0) with a network card and its
 * sibling port's slot below; an SR-IOV PF with a VF enabled (00:07); a PCIe-to-PCI bridge (00:09.0) with two devices; and
 * an IOMMU function, which has no group. vfio-pci was bound to the edu functions of 00:03, 00:04 and 00:05.1.
 */
import {
  CAP_SYS_RAWIO,
  containerApi,
  deviceApi,
  type FunctionFacts,
  groupsApi,
  type HostSetup,
  IOMMU,
  iommuApi,
  iommufdApi,
  LAB,
  PAGES,
  pagesApi,
} from '@vfiolab/core';
import { ok } from '@vfiolab/uapi';
import { GroupsCore } from '../groups-core.js';
import { Bench, type Script } from '../../../core/src/testing/bench.js';

const edu = { vendor: '0x1234', device: '0x11e8', class: '0x00ff00', revision: '0x10', header_type: 0 };
const endpoint = { header_type: 0, pcie_type: 'endpoint' };
const port = { vendor: '0x1b36', device: '0x000c', class: '0x060400', header_type: 1 };

const FUNCTIONS = [
  { bdf: '0000:00:00.0', vendor: '0x8086', device: '0x29c0', class: '0x060000', header_type: 0 },
  { bdf: '0000:00:02.0', vendor: '0x8086', device: '0x0001', class: '0x080600', header_type: 0 },
  {
    bdf: '0000:00:03.0',
    ...edu,
    driver: 'vfio-pci',
    numa_node: 1,
    subsystem_vendor: '0x1af4',
    subsystem_device: '0x1100',
  },
  { bdf: '0000:00:04.0', ...edu, multifunction: true, driver: 'vfio-pci' },
  { bdf: '0000:00:04.1', ...edu, multifunction: true, driver: 'vfio-pci' },
  {
    bdf: '0000:00:05.0',
    ...endpoint,
    vendor: '0x1b36',
    device: '0x0010',
    class: '0x010802',
    multifunction: true,
    driver: 'nvme',
  },
  { bdf: '0000:00:05.1', ...edu, multifunction: true, driver: 'vfio-pci' },
  { bdf: '0000:00:06.0', ...port, pcie_type: 'root_port', primary_bus: 0, secondary_bus: 1, subordinate_bus: 1 },
  {
    bdf: '0000:00:07.0',
    ...endpoint,
    vendor: '0x15b3',
    device: '0x1017',
    class: '0x020000',
    sriov: { initial: 4, total: 4, num: 1, offset: 1, stride: 1, vf_device: '0x1018' },
  },
  { bdf: '0000:00:07.1', ...endpoint, vendor: '0x15b3', device: '0x1018', class: '0x020000', vf_of: '0000:00:07.0' },
  {
    bdf: '0000:00:09.0',
    vendor: '0x1b36',
    device: '0x000e',
    class: '0x060400',
    header_type: 1,
    pcie_type: 'pcie_to_pci_bridge',
    primary_bus: 0,
    secondary_bus: 2,
    subordinate_bus: 2,
  },
  {
    bdf: '0000:01:00.0',
    ...endpoint,
    vendor: '0x8086',
    device: '0x10d3',
    class: '0x020000',
    driver: 'e1000e',
    bars: [
      { index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 131072 },
      { index: 2, kind: 'io', bits: null, prefetchable: null, size: 32 },
      { index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 16384, vf: true },
    ],
  },
  { bdf: '0000:02:01.0', ...edu },
  { bdf: '0000:02:02.0', ...edu },
];

export const SMALL_MACHINE = JSON.stringify({ format: 'pci-topology-fixture/1', id: 'small', functions: FUNCTIONS });

export const SETUP: HostSetup = {
  machine: 'small',
  profile: '6.12',
  iommu: 'intel-vtd',
  allowUnsafeInterrupts: 0,
  vfioContainer: 'vfio',
};

export type Answers = Record<string, Script>;
export type Services = Partial<Record<'iommu' | 'device' | 'pages' | 'container' | 'iommufd', Answers>>;

/** A bench whose iommu and devices agree to everything, but for what a test says otherwise. */
export const groupsBench = (answers: Services = {}): Bench<GroupsCore> =>
  new Bench('groups', new GroupsCore(), {
    iommu: {
      api: iommuApi,
      answers: {
        configure: () => undefined,
        setup: () => undefined,
        attach: () => ok(undefined),
        reservedRegions: () => [],
        ...answers.iommu,
      },
    },
    pages: { api: pagesApi, answers: { userOf: () => 0, capabilities: () => CAP_SYS_RAWIO, ...answers.pages } },
    container: { api: containerApi, answers: { parameter: () => ok(undefined), ...answers.container } },
    iommufd: { api: iommufdApi, answers: { ...answers.iommufd } },
    device: {
      api: deviceApi,
      answers: {
        probe: () => ok(undefined),
        probeMdev: () => ok(undefined),
        remove: () => undefined,
        ...answers.device,
      },
    },
  });

/** The same with a host on it; what was heard while it was made is forgotten. */
export function sealedBench(
  answers: Services = {},
  setup: HostSetup = SETUP,
  machine = SMALL_MACHINE,
): Bench<GroupsCore> {
  const bench = groupsBench(answers);
  const PIECE = 500_000;
  for (let part = 0; part * PIECE < machine.length; part++) {
    const loaded = bench.get(LAB, groupsApi.load, { part, text: machine.slice(part * PIECE, (part + 1) * PIECE) });
    if (!loaded.ok) throw new Error(`piece ${part}: ${loaded.errno}`);
  }
  const { error } = bench.get(LAB, groupsApi.seal, setup);
  if (error !== '') throw new Error(error);
  bench.heard.length = 0;
  return bench;
}

export const CLIENT = 'client:tester';

/** What services were asked, as `method argument`, for tests of order; who may ask is asked all the time. */
export const callsTo = (bench: Bench<GroupsCore>): string[] =>
  bench.heard
    .filter(({ to }) => to !== PAGES)
    .map(({ to, method, args }) => {
      if (to !== IOMMU) return `${method} ${(args as FunctionFacts | undefined)?.bdf ?? to}`;
      const { domain, bdfs } = args as { domain?: number; bdfs?: string[] };
      return domain === undefined ? method : `${method} ${bdfs?.join(' ')} ${domain}`;
    });

/** Shorthands of a client's system calls: a value, or the errno. */
export function files(bench: Bench<GroupsCore>, from = CLIENT) {
  const plain = <T>(r: { ok: true; value: T } | { ok: false; errno: string }): T | string => (r.ok ? r.value : r.errno);
  return {
    write: (path: string, data: string) => plain(bench.get(from, groupsApi.sysfsWrite, { path, data })),
    read: (path: string) => plain(bench.get(from, groupsApi.sysfsRead, { path })),
    readlink: (path: string) => plain(bench.get(from, groupsApi.readlink, { path })),
    stat: (path: string) => plain(bench.get(from, groupsApi.stat, { path })),
    list: (path: string) => plain(bench.get(from, groupsApi.listdir, { path })),
    chmod: (path: string, mode: number) => plain(bench.get(from, groupsApi.chmod, { path, mode })),
    resolve: (path: string, flags = 2) => {
      const r = bench.get(from, groupsApi.resolve, { path, flags });
      return r.ok ? r.value.owner : r.errno;
    },
  };
}
