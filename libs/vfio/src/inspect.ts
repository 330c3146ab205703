/**
 * The state of a function and its files looked at from outside: broken invariants, and lines for people.
 *
 * Rule: it only reads. Numbers are those of the project's invariants.
 */
import { VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX } from '@vfiolab/uapi';
import { isMigratable, makeModel, type MigratableModel } from '@vfiolab/devices';
import type { CdevFile } from './cdev-file.js';
import type { CommonDevice } from './common-device.js';
import type { VfioDevice } from './vfio-device.js';

/** What others compare with what they know, and with what the function sends. */
export interface DeviceNow {
  readonly open: boolean;
  readonly busMaster: boolean;
  /** It starts requests of its own: migration has not stopped it. */
  readonly initiates: boolean;
  /** Its BARs answer to others than its user's own calls. */
  readonly lends: boolean;
  /** The iommufd that its cdev is bound to. */
  readonly context: number | undefined;
}

export const deviceNow = ({ isOpen, config, initiates, lends, bound }: VfioDevice): DeviceNow => ({
  open: isOpen,
  busMaster: config.busMaster,
  initiates,
  lends,
  context: bound?.binding?.context,
});

export function checkDevice(device: VfioDevice): string[] {
  const { config, irqs, isOpen } = device;
  const broken = [
    ...config.check(),
    ...device.model.check(),
    ...device.power.check(),
    ...device.ioeventfds.check(),
    ...device.log.check(),
    ...(device.migration?.check() ?? []),
  ];
  const vectors = {
    none: 0,
    intx: 1,
    msi: device.irqCount(VFIO_PCI_MSI_IRQ_INDEX),
    msix: device.irqCount(VFIO_PCI_MSIX_IRQ_INDEX),
  };
  broken.push(...irqs.check(vectors));
  if (device.mapped && device.memoryTold && !config.memoryEnabled)
    broken.push('I39: pages takes it that BARs answer, and they do not');
  if (!isOpen && config.busMaster) broken.push('I42: bus master is on and nobody has the function open');
  if (!isOpen && (irqs.kind !== 'none' || irqs.single.err !== undefined || irqs.single.req !== undefined))
    broken.push('I17: interrupts are on and nobody has the function open');
  if (!isOpen && device.lent.size > 0) broken.push('B8.3: BARs are lent out and nobody has the function open');
  return broken;
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** I45: a device that is given the state of this one has the same state. Asked when nothing is under way. */
export function lostByMigration({ model, bus }: VfioDevice): string[] {
  if (!isMigratable(model) || model.waits) return [];
  const other = makeModel(model.name, bus) as MigratableModel;
  const image = model.save();
  const same = other.load(image) && isSame(image, other.save());
  return same ? [] : [`I45: a ${model.name} that is given the state of another has another state`];
}

export function checkFiles(device: CommonDevice, files: readonly CdevFile[]): string[] {
  const broken: string[] = [];
  const bound = files.filter((f) => f.isBound);
  const shared = files.filter((f) => f.viaGroup).length;
  const counted = device.shared?.files ?? 0;
  if (bound.length > 1) broken.push(`I16: ${bound.length} files of one function have access`);
  if (counted !== shared) broken.push(`A3.6: ${shared} files are open through the group, ${counted} are counted`);
  if (shared > 0 && bound.length > 0) broken.push('A3.1: open through the group and bound through the cdev');
  if (device.bound !== bound[0]) broken.push('I16: the function is enabled for another file than the one with access');
  for (const f of files)
    if (f.attached !== undefined && !f.binding) broken.push(`I18: file ${f.id} is attached and not bound`);
  return broken;
}

export function describeDevice({ config, facts, power, resets, bus, irqs, model }: VfioDevice): string[] {
  const command = config.command.toString(16).padStart(4, '0');
  const state = `D${config.powerState}${power.engaged ? ' low power' : ''}`;
  return [
    `function ${facts.bdf} vfio${facts.minor} command 0x${command} ${state} resets [${resets.join(' ')}] refused DMA ${bus.refused}${bus.wire.dropped === 0 ? '' : ` dropped frames ${bus.wire.dropped}`}`,
    irqs.describe(),
    model.describe(),
  ];
}

export function describeFile(f: CdevFile): string {
  const state = f.viaGroup ? 'through the group' : f.isBound ? boundTo(f) : 'not bound';
  return `file ${f.id} ${state}${f.attached === undefined ? '' : ` attached to HWPT ${f.attached}`}`;
}

const boundTo = ({ binding, domain }: CdevFile): string =>
  binding ? `bound as device ${binding.device}` : `in domain ${domain} of 2010`;
