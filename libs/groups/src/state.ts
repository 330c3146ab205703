/**
 * The host's state as bytes: what `Core.encode` and `decode` write and read.
 *
 * Rule: the snapshot keeps the machine's description as it came and only what changed since boot; reading it back makes
 * the host from the description again. The meaning leaves out claims' numbers and counts: it says who owns, not how often.
 */
import type { ByteReader, ByteWriter, HostSetup } from '@vfiolab/core';
import { hostSetup } from '@vfiolab/core';
import type { PciId } from './drivers.js';
import type { Device, Host, IommuGroup } from './host.js';

const KIND = { none: 0, kernel: 1, context: 2 } as const;

export const encodeSetup = (w: ByteWriter, setup: HostSetup): void => hostSetup.write(w, setup);
export const decodeSetup = (r: ByteReader): HostSetup => hostSetup.read(r);

/** Everything that can differ from boot, in address and number order. */
export function encodeHost(w: ByteWriter, host: Host): void {
  for (const { name, dynamicIds } of host.drivers.all()) {
    w.str(name);
    w.list(dynamicIds, (id) => writeId(w, id));
  }
  for (const device of host.devices.values()) {
    writeBinding(w, device);
    w.num(device.cdevClaims);
  }
  for (const group of host.groups.values()) {
    w.u8(KIND[group.owner.kind]);
    w.num(group.owner.kind === 'context' ? group.owner.context : 0);
    w.num(group.count);
  }
}

/** Into a host that was just built from the same description. */
export function decodeHost(r: ByteReader, host: Host): void {
  for (const driver of host.drivers.all()) {
    r.str();
    driver.dynamicIds = r.list(() => readId(r));
  }
  for (const device of host.devices.values()) {
    readBinding(r, device);
    device.cdevClaims = r.num();
  }
  for (const group of host.groups.values()) readOwner(r, group);
}

/** What a client could tell apart: groups and owners, drivers with their added ids, nodes. */
export function encodeMeaning(w: ByteWriter, host: Host): void {
  encodeSetup(w, host.setup);
  for (const { name, dynamicIds } of host.drivers.all()) {
    w.str(name);
    w.list(dynamicIds, (id) => writeId(w, id));
  }
  w.list(host.devices, ([bdf, device]) => {
    w.str(bdf);
    writeBinding(w, device);
  });
  w.list(host.groups, ([, group]) => {
    w.u32(group.id);
    w.list(group.members, (bdf) => w.str(bdf));
    w.u8(KIND[group.owner.kind]);
  });
}

function writeBinding(w: ByteWriter, { driver, override, vfio }: Device): void {
  w.str(driver ?? '');
  w.str(override ?? '');
  w.num(vfio ? vfio.minor + 1 : 0);
}

function readBinding(r: ByteReader, device: Device): void {
  device.driver = r.str() || undefined;
  device.override = r.str() || undefined;
  const node = r.num();
  device.vfio = node === 0 ? undefined : { minor: node - 1, visible: true };
}

function readOwner(r: ByteReader, group: IommuGroup): void {
  const kind = r.u8();
  const context = r.num();
  group.owner =
    kind === KIND.context ? { kind: 'context', context } : { kind: kind === KIND.kernel ? 'kernel' : 'none' };
  group.count = r.num();
}

const ID_FIELDS = ['vendor', 'device', 'subvendor', 'subdevice', 'class', 'classMask'] as const;

function writeId(w: ByteWriter, id: PciId): void {
  for (const field of ID_FIELDS) w.u32(id[field]);
}

function readId(r: ByteReader): PciId {
  const [vendor, device, subvendor, subdevice, classCode, classMask] = ID_FIELDS.map(() => r.u32()) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { vendor, device, subvendor, subdevice, class: classCode, classMask };
}
