/**
 * What passes an edge: what each frame is about, and whether it is the first of its kind.
 *
 * Words: the *subject* of a frame is its method, and of a system call's ioctl the number too; an answer has the subject of what was
 * asked. A frame is a *repetition* when one with its id has passed before in the same direction.
 * Rule: what is remembered is bounded; an answer to something that was asked too long ago has no subject.
 */
import { ioctlsByName, toPowerpc } from '@vfiolab/uapi';
import { type Address, serviceOf } from '../address.js';
import { decodeHeader, EVENT, type FrameHeader, payloadOf, REPLY, REQUEST } from '../frame.js';
import { sysApi } from '../protocol/sys.js';
import { methodCalled } from './methods.js';
import type { FrameKinds, FramePattern } from './rule.js';

/** Questions whose answers are still to come, and frames that are known again, at most. */
export const MAX_REMEMBERED = 4096;

export interface Subject {
  /** Whom the method is a method of. */
  readonly service: string;
  readonly method: number;
  /** Of an ioctl. */
  readonly cmd: number | undefined;
}

export interface Sighting {
  readonly from: Address;
  readonly to: Address;
  readonly header: FrameHeader;
  readonly frame: Uint8Array;
  readonly subject: Subject | undefined;
  readonly repetition: boolean;
}

export type Side = 'arriving' | 'leaving';

const isIoctl = (method: number): boolean => method === sysApi.ioctl.id || method === sysApi.ioctlFile.id;

export class Sightings {
  private asked = new Map<string, Subject>();
  private known = new Set<string>();

  /** `heard`: whoever it is for can hear it; else it will come again, and its first coming is then. */
  see(side: Side, from: Address, to: Address, frame: Uint8Array, heard: boolean): Sighting {
    const header = decodeHeader(frame);
    const subject = this.subjectOf(from, to, frame, header);
    const repetition = !heard || this.isRepetition(side, from, to, header);
    return { from, to, header, frame, subject, repetition };
  }

  private subjectOf(from: Address, to: Address, frame: Uint8Array, h: FrameHeader): Subject | undefined {
    if (h.kind === REPLY) return this.asked.get(`${to} ${from} ${h.id}`);
    const subject = { service: serviceOf(to), method: h.method, cmd: ioctlOf(frame, h) };
    if (h.kind === REQUEST) {
      forgetOldest(this.asked);
      this.asked.set(`${from} ${to} ${h.id}`, subject);
    }
    return subject;
  }

  private isRepetition(side: Side, from: Address, to: Address, { kind, id }: FrameHeader): boolean {
    if (kind === EVENT) return false;
    const key = `${side} ${from} ${to} ${kind} ${id}`;
    if (this.known.has(key)) return true;
    forgetOldest(this.known);
    this.known.add(key);
    return false;
  }

  /** What must be known again after a restart. */
  state(): string[] {
    return [...this.known];
  }

  restore(known: readonly string[]): void {
    this.known = new Set(known.slice(-MAX_REMEMBERED));
  }
}

function forgetOldest(of: Map<string, unknown> | Set<string>): void {
  if (of.size >= MAX_REMEMBERED) of.delete(of.keys().next().value!);
}

/** The number of an ioctl; undefined: it is no ioctl, or no good frame. */
function ioctlOf(frame: Uint8Array, { kind, method }: FrameHeader): number | undefined {
  if (kind !== REQUEST || !isIoctl(method)) return undefined;
  const r = payloadOf(frame);
  r.token();
  return r.u32();
}

const KINDS: Readonly<Record<Exclude<FrameKinds, 'messages'>, number>> = {
  requests: REQUEST,
  answers: REPLY,
  events: EVENT,
};

/** Is `address` the one that is meant: itself, or the service that it belongs to? */
export const isMeant = (meant: Address | undefined, address: Address): boolean =>
  meant === undefined || meant === address || meant === serviceOf(address);

type Fits = (subject: Subject) => boolean;

/** Whether a subject is the method or ioctl of that name. */
function subjectNamed(name: string): Fits {
  const ioctl = ioctlsByName.get(name);
  if (ioctl) {
    const numbers = [ioctl.nr, toPowerpc(ioctl.nr)];
    return ({ cmd }) => cmd !== undefined && numbers.includes(cmd);
  }
  const method = methodCalled(name)!;
  const service = name.slice(0, name.indexOf('.'));
  const shared = ['sys', 'stream', 'boot'].includes(service);
  return (subject) => subject.method === method.id && (shared || subject.service === service);
}

/** Whether a sighting is of the pattern. */
export function patternOf({ kinds, from, to, of }: FramePattern): (sighting: Sighting) => boolean {
  const kind = kinds === 'messages' ? undefined : KINDS[kinds];
  const fits = of === undefined ? undefined : subjectNamed(of);
  return ({ from: sender, to: receiver, header, subject }) =>
    (kind === undefined || kind === header.kind) &&
    isMeant(from, sender) &&
    isMeant(to, receiver) &&
    (fits === undefined || (subject !== undefined && fits(subject)));
}
