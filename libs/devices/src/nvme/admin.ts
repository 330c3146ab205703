/**
 * Commands of the admin queue (section 5).
 *
 * Rule: a command that is refused has changed nothing. Queues that others refer to are not deleted.
 */
import type { Op } from '@vfiolab/core';
import type { Command, Outcome } from './command.js';
import type { Controller } from './controller.js';
import {
  activeNamespaces,
  ASYNC_EVENTS,
  grantedQueues,
  identifyController,
  identifyNamespace,
  logPage,
  NAMESPACE,
  namespaceDescriptors,
} from './identify.js';
import { BLOCKS_PER_PAGE } from './media.js';
import { CompletionQueue, SubmissionQueue } from './queues.js';
import { Primary } from './primary.js';
import { MAX_ENTRIES, MAX_TRANSFER } from './registers.js';
import * as status from './status.js';
import { manageVirtualisation, primaryCapabilities, secondaryControllers } from './virtualisation.js';

/** From here on numbers name no namespace, but all of them. */
const LAST_NAMESPACE = 0xffff_fffe;

type Handler = (on: Controller, command: Command) => Outcome | Op<Outcome>;

const refuse = (why: number): Outcome => ({ status: why });
const OK: Outcome = { status: status.SUCCESS };

const CONTIGUOUS = 1;
const INTERRUPTS = 2;

function createCompletionQueue(on: Controller, command: Command): Outcome {
  const [id, entries, flags] = [command.dword(10) & 0xffff, (command.dword(10) >>> 16) + 1, command.dword(11)];
  if (id === 0 || id >= on.role.queues || on.completions.has(id)) return refuse(status.QUEUE_ID_INVALID);
  if (entries < 2 || entries > MAX_ENTRIES) return refuse(status.QUEUE_SIZE_INVALID);
  if (!(flags & CONTIGUOUS)) return refuse(status.INVALID_FIELD);
  if (!on.isPage(command.prp1)) return refuse(status.PRP_OFFSET_INVALID);
  const vector = flags >>> 16;
  if (vector >= on.role.vectors) return refuse(status.INVALID_VECTOR);
  on.completions.set(id, new CompletionQueue(id, command.prp1, entries, flags & INTERRUPTS ? vector : undefined));
  return OK;
}

function createSubmissionQueue(on: Controller, command: Command): Outcome {
  const [id, entries, flags] = [command.dword(10) & 0xffff, (command.dword(10) >>> 16) + 1, command.dword(11)];
  const completions = flags >>> 16;
  if (completions === 0 || !on.completions.has(completions)) return refuse(status.COMPLETION_QUEUE_INVALID);
  if (id === 0 || id >= on.role.queues || on.submissions.has(id)) return refuse(status.QUEUE_ID_INVALID);
  if (entries < 2 || entries > MAX_ENTRIES) return refuse(status.QUEUE_SIZE_INVALID);
  if (!(flags & CONTIGUOUS)) return refuse(status.INVALID_FIELD);
  if (!on.isPage(command.prp1)) return refuse(status.PRP_OFFSET_INVALID);
  on.submissions.set(id, new SubmissionQueue(id, command.prp1, entries, completions));
  return OK;
}

function deleteSubmissionQueue(on: Controller, command: Command): Outcome {
  const id = command.dword(10) & 0xffff;
  return id !== 0 && on.submissions.delete(id) ? OK : refuse(status.QUEUE_ID_INVALID);
}

function deleteCompletionQueue(on: Controller, command: Command): Outcome {
  const id = command.dword(10) & 0xffff;
  if (id === 0 || !on.completions.has(id)) return refuse(status.QUEUE_ID_INVALID);
  if ([...on.submissions.values()].some(({ completions }) => completions === id))
    return refuse(status.INVALID_QUEUE_DELETION);
  on.completions.delete(id);
  return OK;
}

function* identify(on: Controller, command: Command): Op<Outcome> {
  const data = identified(on, command);
  return refuse(typeof data === 'number' ? data : yield* on.host.send(command, data));
}

/** The data of a kind (CNS); a number: why there are none. */
function identified({ media, role }: Controller, command: Command): Uint8Array | number {
  const { namespace } = command;
  const primary = role instanceof Primary ? role : undefined;
  switch (command.dword(10) & 0xff) {
    case 0:
      return namespace === NAMESPACE ? identifyNamespace(media.used * BLOCKS_PER_PAGE) : status.INVALID_NAMESPACE;
    case 1:
      return identifyController(role, primary !== undefined);
    case 2:
      return namespace < LAST_NAMESPACE ? activeNamespaces(namespace) : status.INVALID_NAMESPACE;
    case 3:
      return namespace === NAMESPACE ? namespaceDescriptors(role) : status.INVALID_NAMESPACE;
    case 0x14:
      return primary ? primaryCapabilities(primary) : status.INVALID_FIELD;
    case 0x15:
      return primary ? secondaryControllers(primary, command.dword(10) >>> 16) : status.INVALID_FIELD;
    default:
      return status.INVALID_FIELD;
  }
}

function* getLogPage(on: Controller, command: Command): Op<Outcome> {
  const dwords = (command.dword(11) & 0xffff) * 0x10000 + (command.dword(10) >>> 16) + 1;
  const page = logPage(command.dword(10) & 0xff);
  if (!page) return refuse(status.INVALID_LOG_PAGE);
  const offset = command.dword(13) * 2 ** 32 + command.dword(12);
  if (offset % 4 !== 0 || offset > page.length || dwords * 4 > MAX_TRANSFER) return refuse(status.INVALID_FIELD);
  const data = new Uint8Array(dwords * 4);
  data.set(page.subarray(offset, offset + data.length));
  return refuse(yield* on.host.send(command, data));
}

const NUMBER_OF_QUEUES = 0x07;
/** Features that a driver may set and get back, by number, with what they are at first. */
export const FEATURES: ReadonlyMap<number, number> = new Map([
  [0x01, 0],
  [0x02, 0],
  [0x04, 343],
  [0x05, 0],
  [NUMBER_OF_QUEUES, 0],
  [0x08, 0],
  [0x09, 0],
  [0x0a, 0],
  [0x0b, 0],
]);
const SAVE = 0x8000_0000;

function setFeatures(on: Controller, command: Command): Outcome {
  const id = command.dword(10) & 0xff;
  if (command.dword(10) & SAVE) return refuse(status.FEATURE_NOT_SAVEABLE);
  if (!on.features.has(id)) return refuse(status.INVALID_FIELD);
  const wanted = command.dword(11);
  if (id !== NUMBER_OF_QUEUES) {
    on.features.set(id, wanted);
    return OK;
  }
  if ((wanted & 0xffff) === 0xffff || wanted >>> 16 === 0xffff) return refuse(status.INVALID_FIELD);
  if (on.submissions.size > 1 || on.completions.size > 1) return refuse(status.COMMAND_SEQUENCE_ERROR);
  const granted = grantedQueues(wanted, on.role);
  on.features.set(id, granted);
  return { status: status.SUCCESS, result: granted };
}

function getFeatures(on: Controller, command: Command): Outcome {
  const value = on.features.get(command.dword(10) & 0xff);
  return value === undefined ? refuse(status.INVALID_FIELD) : { status: status.SUCCESS, result: value };
}

/** A command ends before the next is looked at, so there is none left to abort. */
const abort = (): Outcome => ({ status: status.SUCCESS, result: 1 });

/** It is completed when there is something to tell. */
function asyncEvent(on: Controller, command: Command): Outcome {
  if (on.events.length >= ASYNC_EVENTS) return refuse(status.ASYNC_EVENT_LIMIT);
  on.events.push(command.id);
  return { status: status.SUCCESS, held: true };
}

const virtualise = ({ role }: Controller, command: Command): Outcome | Op<Outcome> =>
  role instanceof Primary ? manageVirtualisation(role, command) : refuse(status.INVALID_OPCODE);

const HANDLERS: ReadonlyMap<number, Handler> = new Map<number, Handler>([
  [0x00, deleteSubmissionQueue],
  [0x01, createSubmissionQueue],
  [0x02, getLogPage],
  [0x04, deleteCompletionQueue],
  [0x05, createCompletionQueue],
  [0x06, identify],
  [0x08, abort],
  [0x09, setFeatures],
  [0x0a, getFeatures],
  [0x0c, asyncEvent],
  [0x1c, virtualise],
]);

export const adminCommand = (on: Controller, command: Command): Outcome | Op<Outcome> =>
  HANDLERS.get(command.opcode)?.(on, command) ?? refuse(status.INVALID_OPCODE);
