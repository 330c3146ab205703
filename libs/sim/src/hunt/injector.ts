/**
 * Fails one step of what a host does: a request between services, a page of the caller's memory, a free fd.
 *
 * Words: a *fallible step* is something that a service asks others for and that may be refused, seen from outside; each
 * way it can be refused counts as a step of its own, so that counting them all meets every failure.
 * Rule: a refused request is not carried out by anybody; a call whose memory is gone arrives without that memory.
 */
import {
  type Address,
  decodeHeader,
  encodeFrame,
  type FrameHeader,
  type IoctlArgs,
  isClient,
  payloadOf,
  REFUSABLE,
  type Refusable,
  REQUEST,
  sysApi,
} from '@vfiolab/core';
import { fail } from '@vfiolab/uapi';
import { answerFor } from '../refuse.js';
import type { SimHost } from '../sim-host.js';

const fallibleOf = (to: Address, method: number): Refusable | undefined =>
  REFUSABLE.find((f) => f.to === to && f.method.id === method);

export class Injector {
  private left = 0;
  /** What was made to fail; undefined as long as nothing was. */
  fired: string | undefined;

  constructor(private readonly host: SimHost) {
    host.watch((from, to, frame, when) => when === 'arriving' && this.left > 0 && this.arriving(from, to, frame));
  }

  /** The nth fallible step from now on, counted from 1, fails. */
  arm(nth: number): void {
    this.left = nth;
    this.fired = undefined;
  }

  disarm(): void {
    this.left = 0;
  }

  private due(what: string): boolean {
    if (this.left === 0 || --this.left > 0) return false;
    this.fired = what;
    return true;
  }

  private arriving(from: Address, to: Address, frame: Uint8Array): boolean {
    const h = decodeHeader(frame);
    if (h.kind !== REQUEST) return false;
    const isIoctl = h.method === sysApi.ioctl.id || h.method === sysApi.ioctlFile.id;
    if (isClient(from)) return isIoctl && this.call(from, to, frame, h);
    const fallible = fallibleOf(to, h.method);
    return fallible !== undefined && this.request(from, to, frame, h, fallible);
  }

  private request(from: Address, to: Address, frame: Uint8Array, h: FrameHeader, f: Refusable): boolean {
    if (f.never?.(f.method.args.read(payloadOf(frame)))) return false;
    const errno = f.errnos.find((e) => this.due(`${f.method.name} answers ${e}`));
    if (!errno) return false;
    answerFor(this.host, { from, to, id: h.id }, f.method, (f.refuse ?? fail)(errno));
    return true;
  }

  /** An ioctl on its way: each piece of memory may be gone, or not writable; each fd closed; a call for a file may get none. */
  private call(from: Address, to: Address, frame: Uint8Array, h: FrameHeader): boolean {
    const args = sysApi.ioctl.args.read(payloadOf(frame));
    const changed =
      this.without(args) ?? (h.method === sysApi.ioctlFile.id && this.due('no fd is free') ? args : undefined);
    if (!changed) return false;
    const header = { ...h, method: changed === args ? sysApi.ioctl.id : h.method };
    if (changed === args) header.flags = 0;
    this.host.actor(to)!.receive(from, encodeFrame(header, sysApi.ioctl.args, changed));
    return true;
  }

  private without(args: IoctlArgs): IoctlArgs | undefined {
    const { segments } = args;
    for (let i = 0; i < segments.length; i++) {
      if (this.due(`memory ${i} of the call is not there`))
        return { ...args, segments: segments.filter((_, n) => n !== i) };
      const readOnly = segments.map((s, n) => (n === i ? { ...s, writable: false } : s));
      if (this.due(`memory ${i} of the call cannot be written`)) return { ...args, segments: readOnly };
    }
    for (const file of args.fds)
      if (this.due(`fd ${file.fd} of the call is not open`))
        return { ...args, fds: args.fds.filter((f) => f !== file) };
    return undefined;
  }
}
