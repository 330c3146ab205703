/**
 * Files that the PCI core makes for every function, or for those of a kind. [pci-sysfs.c]
 *
 * Words: the *DMA mask* is how many bits of address a function's driver has said it sends: 32 until one says more, and what
 * the last driver said stays.
 * Rule: a file is there exactly when the kernel makes it; what the lab does not act on cannot be written.
 */
import { classOf, decodeConfig, type PciFunction } from '@vfiolab/pci';
import { drivesNatively, idsOf, matches, PCI_STUB, VFIO_PCI } from './drivers.js';
import { type Device, type Host, linkedDriver } from './host.js';
import { fixedDir, type Node, text } from './nodes.js';
import { linkFiles } from './link-files.js';
import { modalias } from './tool-files.js';
import { isOpen } from './vf-token.js';

const VGA_CLASS = 0x0300;
const ROM_INDEX = 6;
const CAP_PM = 0x01;
const CAP_ARI = 0x0e;

type Files = Record<string, () => Node | undefined>;

export function functionFiles(host: Host, device: Device): Files {
  const { facts } = device;
  const mask = () => text(() => String(dmaBits(host, device)));
  return {
    ari_enabled: () => text(() => (hasAri(host, facts) ? '1' : '0')),
    boot_vga: () => (classOf(facts) === VGA_CLASS ? text(() => (isFirstVga(host, facts) ? '1' : '0')) : undefined),
    broken_parity_status: () => text(() => '0'),
    consistent_dma_mask_bits: mask,
    d3cold_allowed: () => (host.iommu.processors === 'x86' ? text(() => '1') : undefined),
    dma_mask_bits: mask,
    enable: () => text(() => (isEnabled(host, device) ? '1' : '0')),
    // Power states of the link: none of the recorded machines has any to choose from.
    link: () => fixedDir({}),
    msi_bus: () => text(() => '1'),
    power: () => powerDir(device),
    power_state: () => text(() => powerState(host, device)),
    uevent: () => ({ kind: 'attribute', show: () => uevent(device) }),
    ...bridgeFiles(facts),
    ...windowFiles(facts),
    ...linkFiles(facts),
  };
}

/** An ordinary driver that knows the function had it at boot, before anybody gave it to vfio-pci. */
function dmaBits({ drivers }: Host, { facts, driver }: Device): number {
  const natives = [...drivers.all()].filter(drivesNatively);
  return natives.some((each) => each.name === driver || matches(each, facts, undefined)) ? 64 : 32;
}

const capOf = ({ config }: PciFunction, id: number, extended: boolean) =>
  (config && decodeConfig(config))?.caps.find((cap) => cap.id === id && cap.extended === extended);

/** The bridge lets functions of a device have numbers up to 255, because its first function can do with that. */
function hasAri({ topology }: Host, f: PciFunction): boolean {
  const [first] = topology.onBus(f);
  return topology.bridgeAbove(f) !== null && !!first && capOf(first, CAP_ARI, true) !== undefined;
}

const isFirstVga = ({ topology }: Host, { bdf }: PciFunction): boolean =>
  topology.functions.find((each) => classOf(each) === VGA_CLASS)?.bdf === bdf;

/** Ordinary drivers enable their function, vfio-pci one that is open; a bridge is when something below it is. */
function isEnabled(host: Host, device: Device): boolean {
  const { driver, facts } = device;
  if (driver === VFIO_PCI) return isOpen(device);
  if (driver !== undefined && driver !== PCI_STUB) return true;
  if (facts.headerType === 0) return false;
  return host.topology
    .onBus({ ...facts, bus: facts.buses?.secondary ?? facts.bus })
    .some(({ bdf }) => bdf !== facts.bdf && host.devices.has(bdf) && isEnabled(host, host.devices.get(bdf)!));
}

const sleeps = (device: Device): boolean => device.driver === VFIO_PCI && !isOpen(device);

/** vfio-pci lets a function sleep that nobody has open; it does if it can, and if firmware does not keep it awake. */
function powerState({ iommu, parameters }: Host, device: Device): string {
  const { driver, facts } = device;
  if (driver === undefined || driver === PCI_STUB) return 'unknown';
  const kept = iommu.fixesPower === true && facts.bus === 1;
  const asleep = sleeps(device) && !parameters.isOn('vfio_pci.disable_idle_d3') && !kept;
  return asleep && capOf(facts, CAP_PM, false) ? 'D3hot' : 'D0';
}

const powerDir = (device: Device): Node =>
  fixedDir({
    control: () => text(() => (device.driver === VFIO_PCI ? 'auto' : 'on')),
    runtime_status: () => text(() => (sleeps(device) ? 'suspended' : 'active')),
  });

function uevent(device: Device): string {
  const ids = idsOf(device.facts);
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(4, '0');
  const driver = linkedDriver(device);
  const lines = [
    ...(driver === undefined ? [] : [`DRIVER=${driver}`]),
    `PCI_CLASS=${hex(ids.class)}`,
    `PCI_ID=${hex(ids.vendor)}:${hex(ids.device)}`,
    `PCI_SUBSYS_ID=${hex(ids.subvendor)}:${hex(ids.subdevice)}`,
    `PCI_SLOT_NAME=${device.bdf}`,
    `MODALIAS=${modalias(device)}`,
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function bridgeFiles({ headerType, buses }: PciFunction): Files {
  if (headerType === 0 || !buses) return {};
  return {
    secondary_bus_number: () => text(() => String(buses.secondary)),
    subordinate_bus_number: () => text(() => String(buses.subordinate)),
  };
}

/** `resourceN` are for mmap(2), the second of a prefetchable window to combine writes. */
function windowFiles({ bars }: PciFunction): Files {
  const names = bars
    .filter(({ vf, size }) => !vf && size)
    .flatMap(({ index, kind, prefetchable }) => {
      if (index === ROM_INDEX) return ['rom'];
      return kind === 'mem' && prefetchable ? [`resource${index}`, `resource${index}_wc`] : [`resource${index}`];
    });
  return Object.fromEntries(names.map((name) => [name, window]));
}

const window = (): Node => ({ kind: 'attribute' });
