/**
 * PCI drivers of the host and what they match.
 *
 * Words: *static ids* are what a driver was built for; *dynamic ids* come from new_id or, at boot, from a driver's `ids`
 * parameter. A driver that *manages DMA* itself takes no DMA ownership at probe (A2.2).
 * Rule: matching follows pci_match_device(): a driver_override decides alone; else dynamic ids, then static ids.
 * A native driver's static ids are the (vendor, device) pairs that the machine was recorded with under that driver, or those
 * of the VFs that it was made for.
 */
import type { PciFunction } from '@vfiolab/pci';

export const ANY_ID = 0xffffffff;

export interface PciId {
  readonly vendor: number;
  readonly device: number;
  readonly subvendor: number;
  readonly subdevice: number;
  readonly class: number;
  readonly classMask: number;
}

/** The ids of one function as drivers see them; a function that did not say reads as all ones. */
export interface DeviceIds {
  readonly vendor: number;
  readonly device: number;
  readonly subvendor: number;
  readonly subdevice: number;
  readonly class: number;
}

export const idsOf = (f: PciFunction): DeviceIds => ({
  vendor: f.vendor ?? 0xffff,
  device: f.device ?? 0xffff,
  subvendor: f.subsystemVendor ?? 0,
  subdevice: f.subsystemDevice ?? 0,
  class: f.classCode ?? 0,
});

export const exactId = (vendor: number, device: number): PciId => ({
  vendor,
  device,
  subvendor: ANY_ID,
  subdevice: ANY_ID,
  class: 0,
  classMask: 0,
});

const classId = (code: number): PciId => ({ ...exactId(ANY_ID, ANY_ID), class: code, classMask: ANY_ID });

const same = (wanted: number, actual: number): boolean => wanted === ANY_ID || wanted === actual;

export function idMatches(id: PciId, of: DeviceIds): boolean {
  return (
    same(id.vendor, of.vendor) &&
    same(id.device, of.device) &&
    same(id.subvendor, of.subvendor) &&
    same(id.subdevice, of.subdevice) &&
    ((id.class ^ of.class) & id.classMask) === 0
  );
}

export interface Driver {
  readonly name: string;
  readonly managesDma: boolean;
  readonly staticIds: readonly PciId[];
  dynamicIds: PciId[];
}

export const VFIO_PCI = 'vfio-pci';
export const PCI_STUB = 'pci-stub';
export const PCIEPORT = 'pcieport';

/** Bridges in both decode modes, and RC event collectors. */
const PORT_CLASSES = [0x060400, 0x060401, 0x080700];
const PORT_TYPES: ReadonlySet<string | null> = new Set(['root_port', 'upstream', 'downstream', 'rcec']);

/** pcieport matches every PCI bridge by class, but its probe keeps only PCI Express ports. */
export const isPciePort = (f: PciFunction): boolean => PORT_TYPES.has(f.pcieType);

const matchesStatically = (driver: Driver, ids: DeviceIds): boolean =>
  driver.dynamicIds.some((id) => idMatches(id, ids)) || driver.staticIds.some((id) => idMatches(id, ids));

/** Is an id known to the driver already, whatever any driver_override says? new_id answers EEXIST then. */
export const knowsIds = matchesStatically;

export const matches = (driver: Driver, f: PciFunction, override: string | undefined): boolean =>
  override !== undefined ? override === driver.name : matchesStatically(driver, idsOf(f));

/** Drivers that leave the DMA mask of their functions as it was, because they do no DMA. */
const WITHOUT_DMA: ReadonlySet<string> = new Set(['i801_smbus', 'lpc_ich', 'piix4_smbus']);

/** Does it send to memory itself, by addresses of 64 bits? */
export const drivesNatively = ({ name, managesDma }: Driver): boolean => !managesDma && !WITHOUT_DMA.has(name);

/** All registered drivers, in the order in which they are tried: ports, native ones by name, then those that need an id. */
export class DriverTable {
  private readonly byName = new Map<string, Driver>();

  /** `ports`: the kernel drives PCI Express ports itself. */
  constructor(functions: readonly PciFunction[], ports: boolean) {
    const recorded = new Map<string, PciId[]>();
    const record = (driver: string | null | undefined, { vendor, device }: DeviceIds): void => {
      if (!driver) return;
      const ids = recorded.get(driver) ?? [];
      if (!ids.some((id) => id.vendor === vendor && id.device === device)) ids.push(exactId(vendor, device));
      recorded.set(driver, ids);
    };
    for (const f of functions) {
      record(f.driver, idsOf(f));
      if (f.sriov) record(f.vfTemplate?.driver, idsOf({ ...f, device: f.sriov.vfDevice }));
    }
    if (ports) this.add({ name: PCIEPORT, managesDma: true, staticIds: PORT_CLASSES.map(classId), dynamicIds: [] });
    for (const name of [...recorded.keys()].sort()) this.addNative(name, recorded.get(name)!);
    for (const name of [PCI_STUB, VFIO_PCI])
      this.add({ name, managesDma: true, staticIds: [], dynamicIds: recorded.get(name) ?? [] });
  }

  private addNative(name: string, staticIds: PciId[]): void {
    if (name === PCIEPORT || name === PCI_STUB || name === VFIO_PCI) return;
    this.add({ name, managesDma: false, staticIds, dynamicIds: [] });
  }

  private add(driver: Driver): void {
    this.byName.set(driver.name, driver);
  }

  get(name: string): Driver | undefined {
    return this.byName.get(name);
  }

  all(): IterableIterator<Driver> {
    return this.byName.values();
  }
}
