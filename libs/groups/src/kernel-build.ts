/**
 * How the kernels of the recordings were configured: what is there on every host, whatever its devices (trace a051).
 *
 * Rule: `misc` is in the order of /proc/misc, which is that of registration, the last one first.
 */
import type { HostSetup } from '@vfiolab/core';
import type { KernelProfile } from '@vfiolab/pci';

export interface MiscDevice {
  readonly name: string;
  readonly minor: number;
}
export interface KernelBuild {
  readonly misc: readonly MiscDevice[];
  /** Device classes: names below /sys/class. */
  readonly classes: readonly string[];
  /** Drivers that ask for it probe functions that come later in the background (b093). */
  readonly probesInBackground: boolean;
  /** Where firmware names IOMMUs, groups are made when a driver first meets a function, and not as it comes (c009). */
  readonly groupsAtProbe: boolean;
  /** Devices without an IOMMU have cdevs too (semantics A4.3). */
  readonly noiommuCdevs: boolean;
  /** Intel graphics are known by the class of any display, and not only by VGA's. */
  readonly igdIsAnyDisplay: boolean;
}

/** In every kernel, behind those with a number of their own. */
const OLDEST: readonly MiscDevice[] = [
  { name: 'iommu', minor: 257 },
  { name: 'hw_random', minor: 183 },
  { name: 'vga_arbiter', minor: 256 },
];
const VFIO: MiscDevice = { name: 'vfio', minor: 196 };

/** Of a module that is loaded last, where the host can run guests. */
export const KVM_MISC: MiscDevice = { name: 'kvm', minor: 232 };

const CLASSES_6_12 = [
  ...['bdi', 'block', 'devlink', 'iommu', 'mdev_bus', 'mei', 'mem', 'misc', 'mtty', 'net', 'nvme', 'nvme-generic'],
  ...['nvme-subsystem', 'pci_bus', 'thermal', 'tty', 'vfio', 'vfio-dev', 'virtio-ports'],
];

const BUILD_6_12: KernelBuild = {
  misc: [{ name: 'cpu_dma_latency', minor: 258 }, VFIO, ...OLDEST],
  classes: CLASSES_6_12,
  probesInBackground: false,
  groupsAtProbe: true,
  noiommuCdevs: false,
  igdIsAnyDisplay: false,
};

const BUILD_7_2: KernelBuild = {
  misc: [{ name: 'cpu_dma_latency', minor: 259 }, VFIO, { name: 'udmabuf', minor: 258 }, ...OLDEST],
  classes: [...CLASSES_6_12, 'dma', 'platform-profile', 'power_supply'],
  probesInBackground: true,
  groupsAtProbe: false,
  noiommuCdevs: false,
  igdIsAnyDisplay: true,
};

export const KERNEL_BUILDS: Readonly<Record<KernelProfile, KernelBuild>> = {
  '6.12': BUILD_6_12,
  '7.2': BUILD_7_2,
  '7.3': { ...BUILD_7_2, noiommuCdevs: true },
};

/** Without support for groups there is no group node, and nothing that is opened by them. */
export const hasGroupNodes = ({ vfioContainer }: HostSetup): boolean => vfioContainer !== 'none';

/** Majors that a kernel hands out at boot: the first that it tries for groups, and the next for cdevs. */
export const GROUP_MAJOR = 254;
export const cdevMajor = (setup: HostSetup): number => GROUP_MAJOR - (hasGroupNodes(setup) ? 1 : 0);

/** Numbers that are handed out at boot, one after the other, begin here; the first is the VGA arbiter's. */
const FIRST_DYNAMIC = 256;

/** The misc devices of a host. `platform`: those that come before all drivers', and take numbers that these would have had. */
export function miscDevices(
  profile: KernelProfile,
  setup: HostSetup,
  platform: readonly string[] = [],
): readonly MiscDevice[] {
  const built = KERNEL_BUILDS[profile].misc.filter((each) => each !== VFIO || hasGroupNodes(setup));
  const moved = ({ name, minor }: MiscDevice) => ({
    name,
    minor: minor > FIRST_DYNAMIC ? minor + platform.length : minor,
  });
  const own = platform.map((name, i) => ({ name, minor: FIRST_DYNAMIC + 1 + i })).reverse();
  const [drivers, arbiter] = [built.slice(0, -1), built.slice(-1)];
  return [...(setup.kvm ? [KVM_MISC] : []), ...drivers.map(moved), ...own, ...arbiter];
}

const EVERY_KERNEL_OF_POWER = [
  ...['block', 'cpufreq', 'cxl', 'e1000e', 'kernel', 'mdev', 'memory_hotplug', 'mtty', 'nvme', 'nvme_core'],
  ...['pci_hotplug', 'pcie_aspm', 'pciehp', 'printk', 'random', 'rcupdate', 'rcutree', 'rng_core', 'spurious'],
  ...['srcutree', 'vfio_iommu_spapr_tce', 'virtio_pci', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'workqueue'],
  'xz_dec',
];

/** What is below /sys/module beyond the modules whose parameters the lab has; of other kernels nobody wrote it down (p001). */
export const moduleNames = (power: boolean): readonly string[] => (power ? EVERY_KERNEL_OF_POWER : []);

/** The class of group devices comes with them. */
export const classNames = (profile: KernelProfile, setup: HostSetup): readonly string[] =>
  KERNEL_BUILDS[profile].classes.filter((name) => name !== 'vfio' || hasGroupNodes(setup));
