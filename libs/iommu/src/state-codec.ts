/**
 * The service's state as bytes, in both views.
 *
 * Rule: a snapshot restores the very same state. The meaning holds only what a client could tell apart: neither domain
 * ids nor frames nor leaf sizes, which depend on who came first.
 */
import { type ByteReader, ByteWriter, type FaultRecord, faultRecord, i32, str, u32, WireError } from '@vfiolab/core';
import type { Domain, Domains } from './domain.js';
import { decodeTable, encodePermissions, encodeTable } from './runs.js';
import { type IommuFunction, MAX_FAULTS, type Unit } from './unit.js';

function encodeFunction(w: ByteWriter, { bdf, group, faults }: IommuFunction): void {
  str.write(w, bdf);
  u32.write(w, group.id);
  w.list(faults, (fault: FaultRecord) => faultRecord.write(w, fault));
}

export function encodeSnapshot(w: ByteWriter, unit: Unit, domains: Domains): void {
  w.str(unit.kind);
  w.list(unit.sortedGroups(), ({ id, attached }) => {
    u32.write(w, id);
    i32.write(w, attached);
  });
  w.list(unit.sortedFunctions(), (f) => encodeFunction(w, f));
  w.list(domains.sorted(), ({ id, table }) => {
    w.u32(id);
    encodeTable(w, table);
  });
}

/** Into a fresh unit without domains. */
export function decodeState(r: ByteReader, unit: Unit, domains: Domains): void {
  unit.become(r.str());
  r.list(() => {
    const group = unit.group(r.u32());
    group.attached = i32.read(r);
  });
  r.list(() => decodeFunction(r, unit));
  r.list(() => decodeTable(r, domains.restore(r.u32()).table));
  for (const { attached } of unit.groups.values()) {
    const domain = domains.get(attached);
    if (domain) domain.attached++;
  }
}

function decodeFunction(r: ByteReader, unit: Unit): void {
  const bdf = r.str();
  unit.place(bdf, r.u32());
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
  w.list(unit.sortedGroups(), ({ id, members, attached }) => {
    w.u32(id);
    w.list(members, (bdf) => w.str(bdf));
    i32.write(w, labels.get(attached) ?? attached);
  });
  w.list(unit.sortedFunctions(), (f) => encodeFunction(w, f));
  w.list(used, ({ table }) => encodePermissions(w, table));
  const idle = domains.sorted().filter((d) => !labels.has(d.id));
  w.list(idle.map(permissionBytes).sort(byBytes), (bytes) => w.raw(bytes));
}

function attachedDomains(unit: Unit, domains: Domains): Domain[] {
  const found = unit.sortedGroups().map(({ attached }) => domains.get(attached));
  return [...new Set(found.filter((d): d is Domain => d !== undefined))];
}

function permissionBytes({ table }: Domain): Uint8Array {
  const w = new ByteWriter();
  encodePermissions(w, table);
  return w.take();
}

/** Shorter first, then by the first byte that differs. */
function byBytes(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  const at = a.findIndex((byte, i) => byte !== b[i]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}
