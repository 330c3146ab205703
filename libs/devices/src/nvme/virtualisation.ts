/**
 * How the driver of a PF sees and changes what its VFs have (sections 5.15, 5.22 and 8.5).
 *
 * Rule: only a primary controller has these; whoever else asks for them is refused as for anything unknown.
 */
import type { Op } from '@vfiolab/core';
import type { Command, Outcome } from './command.js';
import { Block } from './identify.js';
import type { Kind, Primary } from './primary.js';
import { MOST } from './role.js';
import * as status from './status.js';

const [QUEUE_RESOURCES, VECTOR_RESOURCES] = [1, 2];
/** Where the numbers of each kind are. */
const PLACES = [
  ['queues', 32],
  ['vectors', 64],
] as const;

/** CNS 14h: what there is to give, and what is given. */
export function primaryCapabilities(primary: Primary): Uint8Array {
  const block = new Block().u16(0, primary.id).u8(4, QUEUE_RESOURCES | VECTOR_RESOURCES);
  for (const [kind, at] of PLACES)
    block
      .u32(at, primary.total)
      .u32(at + 4, primary.assigned(kind))
      .u16(at + 10, primary[kind])
      .u16(at + 12, MOST)
      .u16(at + 14, 1);
  return block.bytes;
}

const ENTRY = 32;

/** CNS 15h: the VFs' controllers from identifier `first` on. */
export function secondaryControllers(primary: Primary, first: number): Uint8Array {
  const entries = primary.all.map((grant, n) => ({ id: n + 1, grant })).filter(({ id }) => id >= first);
  const block = new Block().u8(0, entries.length);
  for (const [i, { id, grant }] of entries.entries()) {
    const at = ENTRY * (i + 1);
    block
      .u16(at, id)
      .u16(at + 2, primary.id)
      .u8(at + 4, grant.online ? 1 : 0);
    block
      .u16(at + 8, id)
      .u16(at + 10, grant.queues)
      .u16(at + 12, grant.vectors);
  }
  return block.bytes;
}

const [TO_PRIMARY, OFFLINE, ASSIGN, ONLINE] = [1, 7, 8, 9];
const KINDS: readonly Kind[] = ['queues', 'vectors'];

/** Virtualization Management. */
export function* manageVirtualisation(primary: Primary, command: Command): Op<Outcome> {
  const [how, count] = [command.dword(10), command.dword(11) & 0xffff];
  const [action, kind, id] = [how & 0xf, KINDS[(how >>> 8) & 7], how >>> 16];
  switch (action) {
    case TO_PRIMARY:
      return id === primary.id ? resized(toPrimary(kind, count), count) : { status: status.INVALID_CONTROLLER };
    case ASSIGN:
      return resized(kind ? primary.assign(id - 1, kind, count) : status.INVALID_RESOURCE, count);
    case OFFLINE:
      return { status: yield* primary.offline(id - 1) };
    case ONLINE:
      return { status: yield* primary.online(id - 1) };
    default:
      return { status: status.INVALID_FIELD };
  }
}

const resized = (code: number, count: number): Outcome =>
  code === status.SUCCESS ? { status: code, result: count } : { status: code };

/** The primary controller has no use for flexible resources. */
const toPrimary = (kind: Kind | undefined, count: number): number =>
  !kind ? status.INVALID_RESOURCE : count > 0 ? status.INVALID_RESOURCE_COUNT : status.SUCCESS;
