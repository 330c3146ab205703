/**
 * Which functions the host has, and in which groups, as bytes: what differs from the machine's description.
 *
 * Rule: read into a host that was just built from the same description, before anything else.
 */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { virtualFunctions } from '@vfiolab/pci';
import { type Device, hasIommu, type Host } from './host.js';
import { join, leave } from './membership.js';
import { hide, pfOf, show, vfsOf } from './virtual-functions.js';

export function encodeFunctions(w: ByteWriter, host: Host): void {
  writeVfs(w, host);
  w.list([...host.removed.keys()], (bdf) => w.str(bdf));
  w.list(host.linksDown, ([port, { members, hotPlug, taken }]) => {
    w.str(port);
    w.list(members, (bdf) => w.str(bdf));
    w.bool(hotPlug);
    w.bool(taken);
  });
  writeMoves(w, host);
}

export function decodeFunctions(r: ByteReader, host: Host): void {
  readVfs(r, host);
  for (const bdf of r.list(() => r.str())) takeAway(host, host.devices.get(bdf)!);
  r.list(() => host.linksDown.set(r.str(), { members: r.list(() => r.str()), hotPlug: r.bool(), taken: r.bool() }));
  readMoves(r, host);
}

/** PFs whose VFs are others than the description's, and the groups of the VFs that were made; then who offers drivers. */
function writeVfs(w: ByteWriter, host: Host): void {
  const pfs = [...host.devices.values()].filter(({ vfs }) => vfs);
  w.list(pfs, (pf) => {
    w.str(pf.bdf);
    w.bool(pf.vfs!.autoprobe);
    w.bool(pf.vfs!.made);
    w.num(pf.vfs!.count);
  });
  const made = [...host.devices.values()].filter((device) => pfOf(host, device)?.vfs?.made);
  w.list(made, ({ bdf, group }) => {
    w.str(bdf);
    w.num(group && hasIommu(group) ? group.id + 1 : 0);
  });
}

function readVfs(r: ByteReader, host: Host): void {
  const changed: { pf: Device; count: number }[] = [];
  r.list(() => {
    const pf = host.devices.get(r.str())!;
    pf.vfs!.autoprobe = r.bool();
    const [made, count] = [r.bool(), r.num()];
    if (!made) return;
    for (const vf of vfsOf(host, pf)) hide(host, vf);
    pf.vfs!.made = true;
    pf.vfs!.count = count;
    changed.push({ pf, count });
  });
  const groups = new Map(r.list(() => [r.str(), r.num() - 1] as const).filter(([, id]) => id >= 0));
  const functions = changed.flatMap(({ pf, count }) => virtualFunctions(host.topology, pf.facts, count)!);
  if (functions.length > 0) show(host, { topology: host.topology.plug(functions), groups });
}

/** A function that was removed: of a PF, its VFs went with it. */
function takeAway(host: Host, device: Device): void {
  for (const vf of vfsOf(host, device)) hide(host, vf);
  host.removed.set(device.bdf, device.facts);
  hide(host, device);
}

/** Functions that are not in the group of the description; those of VFs that were made are told with them. */
function writeMoves(w: ByteWriter, host: Host): void {
  const groupOf = ({ group }: Device): number => (group && hasIommu(group) ? group.id : -1);
  const moved = [...host.devices.values()].filter(
    (device) => !pfOf(host, device)?.vfs?.made && groupOf(device) !== (host.bootGroups.get(device.bdf) ?? -1),
  );
  w.list(moved, (device) => {
    w.str(device.bdf);
    w.num(groupOf(device) + 1);
  });
}

function readMoves(r: ByteReader, host: Host): void {
  const moved = r.list(() => ({ device: host.devices.get(r.str())!, id: r.num() - 1 }));
  for (const { device } of moved) leave(host, device);
  for (const { device, id } of moved) if (id >= 0) device.group = join(host, id, device.bdf);
}
