/**
 * System calls on the trees of nodes: write, read, readlink, list, and which actor opens a device node.
 *
 * Rule: errnos are those of the system calls that a program makes for it (open + read or write, readlink, getdents): a
 * file without read or write permission refuses even root (EACCES), as sysfs does.
 */
import { type Address, type FileStatus, isOp, type Op, type SysfsEntry } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { LIMITS } from './limits.js';
import { isRoot, mayOpen, modeOf, type NodeModes } from './node-modes.js';
import { type DeviceNode, walk, type Node } from './nodes.js';

const NOTHING = new Uint8Array(0);

/** Bytes that the text has on its way to the kernel. */
export const byteLength = (text: string): number => new TextEncoder().encode(text).length;

/** What the attribute's file gets of a write: its first page, up to a NUL. */
function firstPage(data: string): { readonly length: number; readonly text: string } {
  const bytes = new TextEncoder().encode(data).subarray(0, LIMITS.attribute);
  return { length: bytes.length, text: new TextDecoder().decode(bytes).split('\0', 1)[0]! };
}

/** Answers how many bytes were taken. EACCES: not writable, or not by this user; EISDIR; EINVAL: a device node; else the attribute's errno. */
export function* writeFile(root: Node, client: Address, path: string, data: string): Op<Result<number>> {
  const found = walk(root, path, true);
  if (!found.ok) return found;
  const node = found.value;
  if (node.kind === 'dir') return fail('EISDIR');
  if (node.kind !== 'attribute') return fail('EINVAL');
  if (!node.store || !(yield* isRoot(client))) return fail('EACCES');
  if (data === '') return ok(0);
  const { length, text } = firstPage(data);
  const stored = node.store(text);
  const done = isOp(stored) ? yield* stored : stored;
  return done.ok ? ok(length) : done;
}

export function* readFile(root: Node, from: Address, path: string): Op<Result<string>> {
  const found = walk(root, path, true);
  if (!found.ok) return found;
  const node = found.value;
  if (node.kind === 'dir') return fail('EISDIR');
  if (node.kind !== 'attribute') return fail('EINVAL');
  if (!node.show || (node.rootOnly && !(yield* isRoot(from)))) return fail('EACCES');
  const shown = node.show();
  return ok(typeof shown === 'string' ? shown : yield* shown);
}

/** A directory with all that is in it, names in byte order. ENOENT, ENOTDIR. */
export function* scan(root: Node, from: Address, path: string): Op<Result<SysfsEntry[]>> {
  const found = walk(root, path, true);
  if (!found.ok) return found;
  const dir = found.value;
  if (dir.kind !== 'dir') return fail('ENOTDIR');
  const entries: SysfsEntry[] = [];
  for (const name of dir.names().sort()) {
    const node = dir.child(name);
    if (node) entries.push({ name, ...(yield* entryOf(node, from)) });
  }
  return ok(entries);
}

function* entryOf(node: Node, from: Address): Op<Omit<SysfsEntry, 'name'>> {
  if (node.kind === 'dir') return { kind: 'dir', data: NOTHING };
  if (node.kind === 'link') return { kind: 'link', data: new TextEncoder().encode(node.target) };
  if (node.kind === 'device') return { kind: 'file', data: NOTHING };
  if (node.kind === 'attribute' && (!node.show || (node.rootOnly && !(yield* isRoot(from)))))
    return { kind: 'file', data: NOTHING };
  const shown = node.show!();
  const data = isOp(shown) ? yield* shown : shown;
  return { kind: 'file', data: bytesOf(data).subarray(0, LIMITS.attribute) };
}

const bytesOf = (data: string | Uint8Array): Uint8Array =>
  typeof data === 'string' ? new TextEncoder().encode(data) : data;

/** EINVAL: not a link. */
export function readLink(root: Node, path: string): Result<string> {
  const found = walk(root, path, false);
  if (!found.ok) return found;
  return found.value.kind === 'link' ? ok(found.value.target) : fail('EINVAL');
}

/** Names in byte order. ENOTDIR. */
export function listNames(root: Node, path: string): Result<string[]> {
  const found = walk(root, path, true);
  if (!found.ok) return found;
  return found.value.kind === 'dir' ? ok(found.value.names().sort()) : fail('ENOTDIR');
}

/** A device node. ENXIO: another kind of file. */
export function deviceNode(root: Node, path: string): Result<DeviceNode> {
  const found = walk(root, path, true);
  if (!found.ok) return found;
  return found.value.kind === 'device' ? ok(found.value) : fail('ENXIO');
}

export interface Opening {
  readonly from: Address;
  readonly path: string;
  /** O_*. */
  readonly flags: number;
}

/** The actor behind a device node. ENXIO: no device node; EACCES: its mode. */
export function* ownerOf(root: Node, modes: NodeModes, opening: Opening): Op<Result<{ owner: Address }>> {
  const { from, path, flags } = opening;
  const node = deviceNode(root, path);
  if (!node.ok) return node;
  const allowed = yield* mayOpen(from, modeOf(modes, path, node.value), flags);
  return allowed ? ok({ owner: node.value.owner }) : fail('EACCES');
}

/** What stat(2) tells of a path: permission bits, kind, and of a device node its number. */
export function statOf(root: Node, modes: NodeModes, path: string): Result<FileStatus> {
  const found = walk(root, path, true);
  if (!found.ok) return found;
  const node = found.value;
  if (node.kind === 'device')
    return ok({ kind: 'chr', mode: modeOf(modes, path, node), major: node.major, minor: node.minor });
  return ok({ kind: node.kind === 'dir' ? 'dir' : 'reg', mode: fixedMode(node), major: 0, minor: 0 });
}

/** As sysfs makes its directories and attributes. */
function fixedMode(node: Node): number {
  if (node.kind === 'binary') return 0o444;
  if (node.kind !== 'attribute') return 0o755;
  return (node.show ? (node.rootOnly ? 0o400 : 0o444) : 0) | (node.store ? 0o200 : 0);
}
