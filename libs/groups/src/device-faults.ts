/**
 * Faults of devices, as far as the bus has to do with them: which function, whether it can have them, and who else is hit.
 *
 * Words: a *link* is that of a PCI Express port to what is below it; its *members* were below it when it went down.
 * Rule: a link that goes down is down for everything below the port. Where the port has a hot-plug slot the kernel takes the members
 * away, each after its driver, which waits for its users, and finds what is in the slot when the link is up again [pciehp].
 */
import {
  call,
  type DeviceFault,
  deviceAddress,
  deviceApi,
  type FaultName,
  faultOf,
  type Op,
  sleep,
  spawn,
} from '@vfiolab/core';
import { hasHotPlugSlot, type PciFunction, translationCaps } from '@vfiolab/pci';
import { PCIEPORT } from './drivers.js';
import { type Device, type DownLink, type Host, isHere } from './host.js';
import { findBelow, takeOff } from './hotplug.js';

const PORTS: ReadonlySet<string | null> = new Set(['root_port', 'downstream']);

/** What becomes of a fault: empty, or why nothing has happened. `fault` is well formed. */
export function* causeFault(host: Host, fault: DeviceFault): Op<string> {
  const kind = fault.kind as FaultName;
  const down = downLinkOf(host, fault.device);
  if (kind === 'link-up') return down ? yield* linkUp(host, down) : `The link of ${fault.device} is not down.`;
  if (kind === 'clear' && down) yield* linkUp(host, down);
  const device = host.devices.get(fault.device);
  if (!device) return kind === 'clear' && down ? '' : noSuch(host, fault.device);
  if (kind === 'link-down')
    return down ? `The link of ${device.bdf} is down already.` : yield* linkDown(host, device, fault);
  const why = whyNot(host, device, fault);
  if (why !== '') return why;
  if (kind !== 'aer-nonfatal' && kind !== 'aer-fatal') return yield* tell(device, fault);
  for (const each of reportedTo(host, device)) yield* tell(each, { ...fault, device: each.bdf });
  return '';
}

const tell = function* ({ bdf }: Device, fault: DeviceFault): Op<string> {
  return (yield* call(deviceAddress(bdf), deviceApi.fault, fault)).error;
};

function noSuch({ devices }: Host, bdf: string): string {
  const own = [...devices.values()].filter(({ vfio }) => vfio).map((each) => each.bdf);
  const some = own.slice(0, 20).join(', ');
  return `There is no function ${bdf.slice(0, 60)}. Bound to vfio-pci: ${some || 'none'}${own.length > 20 ? ', ...' : ''}.`;
}

/** Why the function cannot have the fault. */
function whyNot({ iommu, setup }: Host, { bdf, facts, vfio, group, driver }: Device, fault: DeviceFault): string {
  if (!vfio) return `${bdf} is bound to ${driver ?? 'no driver'}: faults reach functions that are bound to vfio-pci.`;
  const { ats, pri, pasidBits } = translationCaps(facts);
  const { kind, pasid } = fault;
  const translated = iommu.translates && group?.noiommu !== true;
  if (kind === 'ats-timeout' && !(ats && translated)) return `${bdf} keeps no translations: it has no ATS.`;
  if (kind === 'page-flood' && !(ats && pri && translated))
    return `${bdf} cannot ask for pages: it has no page requests (PRI).`;
  if (pasid !== undefined && pasidBits === 0) return `${bdf} has no PASIDs.`;
  if (!kind.startsWith('aer-')) return '';
  if (facts.pcieType === null) return `${bdf} is not PCI Express: it reports no errors.`;
  return iommu.freezes || iommu.zpci || iommu.endpoints
    ? `Hosts with ${setup.iommu} have another way with errors of devices than ports that report them.`
    : '';
}

/** Functions of vfio-pci that hear of an error: all behind the port, or the one alone that has none above it. */
function reportedTo(host: Host, device: Device): Device[] {
  const { topology } = host;
  const port = topology.bridgeAbove(device.facts);
  const hit = port ? below(host, port) : [device.facts];
  return hit.map(({ bdf }) => host.devices.get(bdf)!).filter(({ vfio }) => vfio !== undefined);
}

const below = ({ topology }: Host, port: PciFunction): PciFunction[] =>
  topology.functions.filter((f) => topology.bridgesAbove(f).some(({ bdf }) => bdf === port.bdf));

function downLinkOf({ linksDown }: Host, bdf: string): string | undefined {
  for (const [port, { members }] of linksDown) if (port === bdf || members.includes(bdf)) return port;
  return undefined;
}

function* linkDown(host: Host, device: Device, { ms }: DeviceFault): Op<string> {
  const port = host.topology.bridgeAbove(device.facts);
  if (!port || !PORTS.has(port.pcieType) || device.facts.pcieType === null)
    return `${device.bdf} has no link of its own: it is not behind a port of PCI Express.`;
  const members = below(host, port).map(({ bdf }) => bdf);
  const hotPlug = hasHotPlugSlot(port) && host.devices.get(port.bdf)?.driver === PCIEPORT;
  const link: DownLink = { members, hotPlug, taken: false };
  host.linksDown.set(port.bdf, link);
  yield* tellMembers(host, link, 'link-down');
  if (hotPlug) yield* spawn(takeMembers(host, port.bdf, link));
  if (ms !== undefined) yield* spawn(upAfter(host, port.bdf, link, ms));
  return '';
}

function* tellMembers(host: Host, { members }: DownLink, kind: FaultName): Op<void> {
  for (const bdf of members) {
    const device = host.devices.get(bdf);
    if (device?.vfio) yield* tell(device, faultOf(bdf, kind));
  }
}

/** What is behind others goes first. */
function* takeMembers(host: Host, port: string, link: DownLink): Op<void> {
  for (const bdf of [...link.members].reverse()) {
    const device = host.devices.get(bdf);
    if (device && isHere(host, device)) yield* takeOff(host, device);
  }
  link.taken = true;
  // The link came up while a user held on to a device.
  if (host.linksDown.get(port) !== link) yield* findMembers(host, link);
}

function* upAfter(host: Host, port: string, link: DownLink, ms: number): Op<void> {
  yield* sleep(ms);
  if (host.linksDown.get(port) === link) yield* linkUp(host, port);
}

function* linkUp(host: Host, port: string): Op<string> {
  const link = host.linksDown.get(port)!;
  host.linksDown.delete(port);
  if (!link.hotPlug) yield* tellMembers(host, link, 'link-up');
  else if (link.taken) yield* findMembers(host, link);
  return '';
}

function* findMembers(host: Host, { members }: DownLink): Op<void> {
  yield* findBelow(host, (f) => members.includes(f.bdf));
}
