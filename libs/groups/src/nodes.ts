/**
 * Nodes of the file trees that this service shows (/sys and /dev), and the walk to them.
 *
 * Rule: nodes are views, made when they are looked at; they hold no state. A walk follows links on the way, as path
 * look-up does; whether the last one is followed is the caller's choice.
 */
import type { Address, Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { LIMITS } from './limits.js';
import type { VfioGroup } from './vfio-group.js';

export interface DirNode {
  readonly kind: 'dir';
  names(): string[];
  child(name: string): Node | undefined;
}
export interface LinkNode {
  readonly kind: 'link';
  /** Relative, as readlink prints it. */
  readonly target: string;
  to(): Node;
}
/** `show` absent: not readable; `store` absent: not writable. */
export interface AttributeNode {
  readonly kind: 'attribute';
  readonly show?: () => string | Op<string>;
  readonly store?: (data: string) => Result<undefined> | Op<Result<undefined>>;
  /** Only root may read it. */
  readonly rootOnly?: boolean;
}
/** A character device, of user and group root, and the actor that opens it; `group`, `kvm`: what it opens at this one. */
export interface DeviceNode {
  readonly kind: 'device';
  readonly owner: Address;
  readonly group?: VfioGroup;
  readonly kvm?: boolean;
  /** Permission bits that the kernel gives it. */
  readonly mode: number;
  readonly major: number;
  readonly minor: number;
}
/** A file of bytes, such as config space. */
export interface BinaryNode {
  readonly kind: 'binary';
  readonly show: () => Uint8Array | Op<Uint8Array>;
}
export type Node = BinaryNode | DirNode | LinkNode | AttributeNode | DeviceNode;

/** A directory with fixed names; an entry that answers undefined is not there. */
export function fixedDir(entries: Readonly<Record<string, () => Node | undefined>>): DirNode {
  const child = (name: string): Node | undefined => (Object.hasOwn(entries, name) ? entries[name]!() : undefined);
  return { kind: 'dir', names: () => Object.keys(entries).filter((name) => child(name) !== undefined), child };
}

/** A directory with one entry for each of a list. */
export const listDir = (names: () => string[], child: (name: string) => Node | undefined): DirNode => ({
  kind: 'dir',
  names,
  child,
});

export const link = (target: string, to: () => Node): LinkNode => ({ kind: 'link', target, to });

export const text = (show: () => string): AttributeNode => ({ kind: 'attribute', show: () => `${show()}\n` });

/** ENOENT, ENOTDIR, ENAMETOOLONG. `..` is not served: the trees are shown from their well-known entries only. */
export function walk(root: Node, path: string, followLast: boolean): Result<Node> {
  if (path.length >= LIMITS.path) return fail('ENAMETOOLONG');
  if (!path.startsWith('/')) return fail('ENOENT');
  let at = root;
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    if (name.length > LIMITS.name) return fail('ENAMETOOLONG');
    const dir = at.kind === 'link' ? at.to() : at;
    if (dir.kind !== 'dir') return fail('ENOTDIR');
    const child = dir.child(name);
    if (!child) return fail('ENOENT');
    at = child;
  }
  return ok(followLast && at.kind === 'link' ? at.to() : at);
}
