/**
 * Machines on which random programs use VFIO.
 *
 * Words: a *place* is a recorded machine, perhaps with another kind of IOMMU or other containers than it was recorded with;
 * a function is *alone* when its group has no other member.
 */
import type { VfioContainer } from '@vfiolab/core';
import { machineNamed } from '@vfiolab/scenario';
import type { KernelProfile } from '@vfiolab/uapi';
import type { SimOptions } from '../../options.js';
import { TestHost } from '../../test-host.js';
import { RICH, richFunction } from './rich-function.js';

export interface Place {
  readonly machine: string;
  readonly iommu?: string;
  readonly container?: VfioContainer;
}

/** Most of what is different on machines is met by the first eight. */
export const PLACES: readonly Place[] = [
  { machine: 'B-type1' },
  { machine: 'B-compat' },
  { machine: 'P-powernv9' },
  { machine: 'C-smmuv3-72' },
  { machine: 'D-vtd-q11' },
  { machine: 'C-amd' },
  { machine: 'P-pseries' },
  { machine: 'B-noiommu-type1' },
  { machine: 'D-vtdfs-q11', iommu: 'intel-vtd-scalable' },
  { machine: 'B-noiommu-compat' },
  { machine: 'C-vtdsm' },
  { machine: 'D-amd-q11', iommu: 'amd-vi-hd', container: 'iommufd' },
  { machine: 'P-powernv9-unsafe' },
  { machine: 'C-smmuv3-64k' },
  { machine: 'N-smmuv3-72', iommu: 'arm-smmu-v3-full', container: 'iommufd' },
  { machine: 'C-virtio' },
  { machine: 'P-powernv9-4k' },
  { machine: 'D-vtdfs-q11', container: 'iommufd' },
];

/** Devices of this function's kind can be moved to another host. Not on POWER, whose engines have registers of their own. */
const MIGRATABLE = '0000:07:01.0';

/** A function as the description has it. */
interface Described {
  readonly bdf: string;
  readonly header_type: number;
  readonly class: string;
  readonly sriov?: object;
  readonly bars?: readonly { readonly index: number; readonly kind: string; readonly vf?: boolean }[];
  model?: string;
}

export interface Yard {
  readonly host: TestHost;
  readonly place: Place;
  readonly profile: KernelProfile;
  /** Bytes of the kernel's page. */
  readonly page: number;
  readonly power: boolean;
  /** No IOMMU is between devices and memory. */
  readonly exposed: boolean;
  /** What programs may ask for: functions that are no bridges; later also virtual functions, and mediated devices. */
  readonly names: string[];
  /** Functions whose first BAR has the engine's registers. */
  readonly engines: ReadonlySet<string>;
  /** Physical functions that have virtual ones. */
  readonly parents: readonly string[];
  /** Functions have faults meanwhile; and those that had one. */
  readonly breaks: boolean;
  readonly faulty: Set<string>;
}

const hasRegisters = ({ bars }: Described): boolean =>
  bars?.some(({ index, kind, vf }) => index === 0 && kind === 'mem' && !vf) === true;
const isEngine = (f: Described): boolean => hasRegisters(f) && (f.model === undefined || ENGINES.includes(f.model));
const ENGINES = ['migratable-engine', 'dma-engine read=3'];
/** Other devices than engines, and one that is slow. */
const OTHERS = ['gpu reset=40 stuck-every=4', 'nvme', 'dma-engine read=3', 'gpu-audio reset=15'];

/** Some functions are other devices than engines. */
function furnish(functions: readonly Described[], seed: number): void {
  const plain = functions.filter(
    (f) => f.header_type === 0 && f.model === undefined && f.bdf !== RICH && hasRegisters(f),
  );
  for (const [i, f] of plain.entries()) if ((i + seed) % 3 === 0) f.model = OTHERS[(i + seed) % OTHERS.length]!;
}

/** Pages of the kernel that a poor host has. */
const POOR = 90;
const HOST_BRIDGE = '0x060000';

export async function openYard(
  place: Place,
  options: {
    readonly profile: KernelProfile;
    readonly seed: number;
    readonly faults: SimOptions;
    readonly poor: boolean;
    readonly breaks: boolean;
  },
): Promise<Yard> {
  const { topology, ...machine } = machineNamed(place.machine);
  const description = JSON.parse(topology) as { functions: Described[] };
  const iommu = place.iommu ?? machine.iommu;
  const power = iommu.startsWith('ppc64');
  if (!power) description.functions.push(richFunction());
  description.functions.sort((a, b) => (a.bdf < b.bdf ? -1 : 1));
  for (const each of description.functions) if (!power && each.bdf === MIGRATABLE) each.model = 'migratable-engine';
  const { profile, seed, faults, poor, breaks } = options;
  if (breaks && !power) furnish(description.functions, seed);
  const host = await TestHost.boot({
    ...machine,
    ...(poor ? { frames: POOR * 2 ** (machine.pageShift - 12) } : {}),
    iommu,
    vfioContainer: place.container ?? machine.vfioContainer,
    machine: JSON.stringify(description),
    profile,
    seed,
    options: faults,
  });
  const given = description.functions.filter((f) => f.header_type === 0 && f.class !== HOST_BRIDGE);
  return {
    host,
    place,
    profile,
    page: 2 ** machine.pageShift,
    power,
    exposed: iommu === 'none',
    names: given.map(({ bdf }) => bdf),
    engines: new Set(given.filter(isEngine).map(({ bdf }) => bdf)),
    parents: given.flatMap(({ bdf, sriov }) => (sriov ? [bdf] : [])),
    breaks,
    faulty: new Set(),
  };
}
