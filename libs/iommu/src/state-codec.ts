/**
 * The service's state as bytes, in both views.
 *
 * Rule: a snapshot restores the very same state. The meaning holds only what a client could tell apart: neither domain
 * ids nor frames nor leaf sizes, which depend on who came first.
 */
import {
  type ArgsOf,
  type ByteReader,
  ByteWriter,
  type FaultRecord,
  faultRecord,
  i32,
  iommuApi,
  str,
  u32,
  type View,
  WireError,
} from '@vfiolab/core';
import { dirtyRuns } from './dirty.js';
import type { Domain, Domains } from './domain.js';
import { TRAPS } from './endpoint-errors.js';
import { formatNamed } from './formats.js';
import { decodeGuest, encodeGuest } from './guest-codec.js';
import { decodeTable, encodePermissions, encodeTable } from './runs.js';
import type { MockDevice } from './mock.js';
import { type Group, type IommuFunction, MAX_FAULTS, type Unit } from './unit.js';

/** What a domain is called: its number, or its place among those in use. */
type Label = (domain: number) => number;

function encodeMock(w: ByteWriter, { flags, cache, failNext }: MockDevice): void {
  w.u32(flags);
  w.list(cache, (slot) => w.u32(slot));
  w.bool(failNext);
}

function decodeMock(r: ByteReader, unit: Unit, bdf: string, group: number): void {
  const { mock } = unit.restoreMock(bdf, group, r.u32());
  r.list(() => r.u32()).forEach((slot, i) => (mock!.cache[i] = slot));
  mock!.failNext = r.bool();
}

const MESSAGES = ['raw', 'mapped', 'failed'] as const;

function encodeRequests(w: ByteWriter, device: IommuFunction, label: Label, view: View): void {
  const { pasids, requests, nextRequest, parked, message } = device;
  w.list(
    [...pasids].sort(([a], [b]) => a - b),
    ([pasid, { domain, faults }]) => {
      w.u32(pasid);
      w.u32(label(domain));
      w.bool(faults);
    },
  );
  // Those that are still on their way have an operation in flight, and then nothing is written.
  w.list([...requests], ([number, { pasid, idle }]) => {
    if (view === 'snapshot') w.num(number);
    w.u32(pasid);
    w.bool(idle);
  });
  if (view === 'snapshot') w.num(device.deafUntil);
  if (view === 'snapshot') w.num(nextRequest);
  w.bool(parked);
  w.u8(MESSAGES.indexOf(message));
}

function decodeRequests(r: ByteReader, device: IommuFunction): void {
  r.list(() => device.pasids.set(r.u32(), { domain: r.u32(), faults: r.bool() }));
  r.list(() => device.requests.set(r.num(), { pasid: r.u32(), waits: true, idle: r.bool(), answer: undefined }));
  device.deafUntil = r.num();
  device.nextRequest = r.num();
  device.parked = r.bool();
  device.message = MESSAGES[r.u8()]!;
}

function encodeFunction(w: ByteWriter, device: IommuFunction, label: Label, view: View): void {
  const { bdf, group, faults, mock } = device;
  str.write(w, bdf);
  u32.write(w, group.id);
  w.bool(mock !== undefined);
  if (mock) encodeMock(w, mock);
  encodeRequests(w, device, label, view);
  w.list(faults, (fault: FaultRecord) => faultRecord.write(w, fault));
}

export function encodeSnapshot(w: ByteWriter, unit: Unit, domains: Domains): void {
  iommuApi.configure.args.write(w, configurationOf(unit));
  w.str(unit.kind);
  w.list(unit.sortedGroups(), (group) => {
    u32.write(w, group.id);
    i32.write(w, group.attached);
    encodeGroup(w, group);
  });
  w.list(unit.sortedFunctions(), (f) => encodeFunction(w, f, (id) => id, 'snapshot'));
  encodeUnprotected(w, unit);
  w.list(domains.sorted(), (domain) => {
    w.u32(domain.id);
    encodeKind(w, domain);
    encodeTable(w, domain.table);
  });
}

function encodeGroup(w: ByteWriter, { faults, doorbell, frozen, trap }: Group): void {
  w.bool(faults);
  w.bool(doorbell);
  w.u8(frozen);
  w.u8(TRAPS.indexOf(trap));
}

const decodeGroup = (r: ByteReader): Partial<Group> => ({
  faults: r.bool(),
  doorbell: r.bool(),
  frozen: r.u8(),
  trap: TRAPS[r.u8()]!,
});

function encodeUnprotected(w: ByteWriter, { unprotected }: Unit): void {
  const sorted = [...unprotected].sort(([a], [b]) => (a < b ? -1 : 1));
  w.list(sorted, ([bdf, count]) => (w.str(bdf), w.num(count)));
}

function configurationOf({ profile, units, endpoints, pageShift }: Unit): ArgsOf<typeof iommuApi.configure> {
  const sorted = [...endpoints.values()].sort((a, b) => (a.bdf < b.bdf ? -1 : 1));
  return { profile, pageShift, units, endpoints: sorted };
}

function encodeKind(w: ByteWriter, { format, flags, tracking, nested, unit, coherent, doorbell }: Domain): void {
  w.str(format.name);
  w.u32(flags);
  w.bool(tracking);
  w.u32(unit);
  w.bool(coherent);
  w.bool(doorbell);
  w.u32(nested?.parent ?? 0);
  w.list(nested?.iotlb ?? [], (slot) => w.u32(slot));
  encodeGuest(w, nested?.guest, 'snapshot');
}

/** Answers the domain, whose table follows. */
function decodeDomain(r: ByteReader, domains: Domains): Domain {
  const [id, name, flags, tracking] = [r.u32(), r.str(), r.u32(), r.bool()];
  const [unit, coherent, doorbell, parent] = [r.u32(), r.bool(), r.bool(), r.u32()];
  const iotlb = r.list(() => r.u32());
  const guest = decodeGuest(r);
  const format = formatNamed(name);
  if (!format) throw new WireError(`domain ${id} of format ${name}`);
  const domain = domains.restore(id, {
    format,
    flags,
    unit,
    coherent,
    ...(parent > 0 && { nested: { parent, iotlb, ...(guest && { guest }) } }),
  });
  Object.assign(domain, { tracking, doorbell });
  return domain;
}

/** Into a fresh unit without domains. */
export function decodeState(r: ByteReader, unit: Unit, domains: Domains): void {
  unit.configure(iommuApi.configure.args.read(r));
  unit.become(r.str());
  const attachments = r.list(() => [r.u32(), i32.read(r), decodeGroup(r)] as const);
  for (const [id] of attachments) unit.group(id);
  r.list(() => decodeFunction(r, unit));
  r.list(() => unit.unprotected.set(r.str(), r.num()));
  for (const [id, attached, rest] of attachments) Object.assign(unit.group(id), { attached, ...rest });
  r.list(() => decodeTable(r, decodeDomain(r, domains).table));
  for (const { attached } of unit.groups.values()) {
    const domain = domains.get(attached);
    if (domain) domain.attached++;
  }
  for (const id of unit.pasidDomains()) domains.get(id)!.attached++;
}

function decodeFunction(r: ByteReader, unit: Unit): void {
  const [bdf, group, mock] = [r.str(), r.u32(), r.bool()];
  if (mock) decodeMock(r, unit, bdf, group);
  else unit.place(bdf, group);
  const device = unit.functions.get(bdf)!;
  decodeRequests(r, device);
  if (device.deafUntil > 0) unit.deaf.add(device);
  const faults = r.list(() => faultRecord.read(r));
  if (faults.length > MAX_FAULTS) throw new WireError(`${faults.length} faults of ${bdf}`);
  faults.forEach((fault) => unit.record(fault));
}

/**
 * Domains are numbered in the order of the groups that use them; those without a group follow, ordered by what they
 * permit, because nothing else tells them apart.
 */
export function encodeMeaning(w: ByteWriter, unit: Unit, domains: Domains): void {
  const used = attachedDomains(unit, domains);
  const labels = new Map(used.map((d, i) => [d.id, i + 1]));
  w.str(unit.kind);
  w.list(unit.sortedGroups(), (group) => {
    const { id, members, attached } = group;
    w.u32(id);
    w.list(members, (bdf) => w.str(bdf));
    i32.write(w, labels.get(attached) ?? attached);
    encodeGroup(w, group);
  });
  w.list(unit.sortedFunctions(), (f) => encodeFunction(w, f, (id) => labels.get(id) ?? 0, 'meaning'));
  encodeUnprotected(w, unit);
  w.list(used, (domain) => encodeWhatUsersSee(w, domain));
  const idle = domains.sorted().filter((d) => !labels.has(d.id));
  w.list(idle.map(seenBytes).sort(byBytes), (bytes) => w.raw(bytes));
}

function attachedDomains(unit: Unit, domains: Domains): Domain[] {
  const byPasids = unit.sortedFunctions().flatMap(({ pasids }) => [...pasids].sort(([a], [b]) => a - b));
  const ids = [...unit.sortedGroups().map(({ attached }) => attached), ...byPasids.map(([, { domain }]) => domain)];
  const found = ids.map((id) => domains.get(id));
  return [...new Set(found.filter((d): d is Domain => d !== undefined))];
}

/** Permissions, and for domains that collect dirty bits those too; a nested domain's IOTLB. */
function encodeWhatUsersSee(w: ByteWriter, { table, tracksDirty, tracking, doorbell, nested }: Domain): void {
  encodePermissions(w, table);
  w.bool(tracking);
  w.bool(doorbell);
  w.list(nested?.iotlb ?? [], (slot) => w.u32(slot));
  encodeGuest(w, nested?.guest, 'meaning');
  w.list(tracksDirty ? dirtyRuns(table) : [], ({ iova, count }) => (w.num(iova), w.num(count)));
}

function seenBytes(domain: Domain): Uint8Array {
  const w = new ByteWriter();
  encodeWhatUsersSee(w, domain);
  return w.take();
}

/** Shorter first, then by the first byte that differs. */
function byBytes(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}
