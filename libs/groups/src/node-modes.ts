/**
 * Permissions of device nodes: what chmod(2) made of them, and who may open one.
 *
 * Words: a node's *mode* are its permission bits; user and group are root.
 * Rule: a changed mode goes with its node: the next node of that name has the kernel's again, as in devtmpfs.
 */
import { type Address, call, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { cdevNameOf } from './cdev-names.js';
import type { Host, Passable } from './host.js';
import { type DeviceNode, type Node, walk } from './nodes.js';
import type { VfioGroup } from './vfio-group.js';

/** Modes that are not the kernel's, by path. */
export type NodeModes = Map<string, number>;

const ALL_BITS = 0o7777;
/** Bits of O_RDONLY, O_WRONLY, O_RDWR and of the fourth value, which asks for both too. */
const WANTED = [0o4, 0o2, 0o6, 0o6] as const;

const plain = (path: string): string =>
  `/${path
    .split('/')
    .filter((name) => name !== '' && name !== '.')
    .join('/')}`;

export const modeOf = (modes: NodeModes, path: string, node: DeviceNode): number => modes.get(plain(path)) ?? node.mode;

/** chmod(2) of a device node. ENOENT, ENOTDIR; EPERM: not root; EOPNOTSUPP: no device node, whose mode is nobody's here. */
export function* changeMode(host: Host, root: Node, from: Address, path: string, mode: number): Op<Result<void>> {
  const found = walk(root, path, true);
  if (!found.ok) return found;
  if (!(yield* isRoot(from))) return fail('EPERM');
  if (found.value.kind !== 'device') return fail('EOPNOTSUPP');
  host.modes.set(plain(path), mode & ALL_BITS);
  return ok(undefined);
}

/** May the client open a file of that mode with these flags? Root may, as it has CAP_DAC_OVERRIDE. */
export function* mayOpen(from: Address, mode: number, flags: number): Op<boolean> {
  const wanted = WANTED[flags & 3]!;
  return (mode & wanted) === wanted || (yield* isRoot(from));
}

export function* isRoot(client: Address): Op<boolean> {
  return (yield* call(PAGES, pagesApi.userOf, { client })) === 0;
}

/** The device's cdev node is gone. */
export function forgetCdev(host: Host, device: Passable): void {
  if (device.vfio) host.modes.delete(`/dev/vfio/devices/${cdevNameOf(host, device)}`);
}

/** The group's node is gone. */
export function forgetGroupNode(host: Host, { name }: VfioGroup): void {
  host.modes.delete(`/dev/vfio/${name}`);
}
