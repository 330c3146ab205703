/**
 * DEVICE_SET_IRQS: the VMM's eventfds behind the interrupts of the device.
 *
 * Words: a *relay* ties an eventfd of the lab, which the device knows, to one of the VMM: an interrupt goes from the lab to the
 * VMM, an unmask (of INTx) the other way.
 * Rule: the device decides what is allowed; a relay is made for what it has taken, and goes with the vector's next eventfd, the
 * end of its index, or the connection.
 */
import { readlinkSync } from 'node:fs';
import { PAGES, pagesApi } from '@vfiolab/core';
import {
  decode,
  encode,
  fail,
  ok,
  type Result,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_IRQ_SET_DATA_TYPE_MASK,
  vfio_irq_set,
} from '@vfiolab/uapi';
import type { Message } from './channel.js';
import type { LabDevice } from './lab-device.js';
import { BACKGROUND, type Native, READABLE, type Watcher } from './native.js';

/** Vectors of one message: as many as MSI-X has. */
const MAX_VECTORS = 2048;
/** How often relays are looked at that no event told of, and how many of them at one time. */
const LOOK_MS = 200;
const LOOKED_AT = 64;

interface Relay {
  /** fd of the client process. */
  readonly labFd: number;
  readonly token: string;
  /** The VMM's eventfd. */
  readonly fd: number;
  /** Of an unmask: tells that the VMM has written. */
  readonly watcher: Watcher | undefined;
}

export class Interrupts {
  /** `index:start` of triggers and `index:unmask`. */
  private readonly relays = new Map<string, Relay>();
  private readonly byToken = new Map<string, Relay>();
  private readonly unlisten: () => void;
  private readonly timer: NodeJS.Timeout;
  private looked = 0;
  private over = false;

  constructor(
    private readonly device: LabDevice,
    private readonly native: Native,
  ) {
    this.unlisten = device.process.link.listen(pagesApi.eventfdReady, ({ token }) => {
      const relay = this.byToken.get(token);
      if (relay && !relay.watcher) void this.pass(relay);
    });
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.timer.unref();
  }

  /** Events may be lost: some relays are looked at each time, all of them in turn. */
  private look(): void {
    const triggers = [...this.byToken.values()].filter(({ watcher }) => !watcher);
    for (let i = 0; i < Math.min(LOOKED_AT, triggers.length); i++)
      void this.pass(triggers[this.looked++ % triggers.length]!);
  }

  /** One who does not read his eventfd has a full counter: nothing is lost that he could tell. */
  private async pass({ token, fd }: Relay): Promise<void> {
    const { caller } = this.device.process.link;
    const counted = await caller.call(PAGES, pagesApi.eventfdRead, { token });
    if (counted.ok && !this.over && this.byToken.get(token)?.fd === fd)
      this.native.eventWrite(fd, Number(counted.value));
  }

  /**
   * EINVAL: no struct, or data and descriptors that do not belong to it; a descriptor that is no eventfd; E2BIG: more vectors than
   * there can be; else as VFIO_DEVICE_SET_IRQS answers.
   */
  async set({ payload, fds }: Message): Promise<Result<Uint8Array>> {
    if (payload.length < vfio_irq_set.size) return fail('EINVAL');
    const command = decode(vfio_irq_set, payload);
    const { argsz, flags, index, start, count } = command;
    const type = flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
    if (argsz < vfio_irq_set.size || argsz > payload.length) return fail('EINVAL');
    if (type !== VFIO_IRQ_SET_DATA_EVENTFD && fds.length > 0) return fail('EINVAL');
    if (count > MAX_VECTORS) return fail('E2BIG');
    if (type !== VFIO_IRQ_SET_DATA_EVENTFD) {
      const wanted = type === VFIO_IRQ_SET_DATA_BOOL ? count : 0;
      const data = payload.subarray(vfio_irq_set.size, argsz);
      if (data.length < wanted) return fail('EINVAL');
      const done = await this.call(command, data.slice(0, wanted));
      if (done.ok && turnsOff(flags, count)) await this.drop((key) => key.startsWith(`${index}:`));
      return done;
    }
    // Without descriptors the vectors lose theirs.
    if (fds.length !== 0 && fds.length !== count) return fail('EINVAL');
    if (!fds.every(isEventfd)) return fail('EINVAL');
    const unmask = (flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) === VFIO_IRQ_SET_ACTION_UNMASK;
    return this.setEventfds(command, fds, (i) => (unmask ? `${index}:unmask` : `${index}:${start + i}`), unmask);
  }

  private async setEventfds(
    command: Command,
    fds: number[],
    keyOf: (i: number) => string,
    unmask: boolean,
  ): Promise<Result<Uint8Array>> {
    const { process } = this.device;
    const made: number[] = [];
    if (unmask) await this.loseUnmask(command, keyOf(0));
    for (const _ of fds) {
      const event = await process.eventfd();
      if (!event.ok) {
        for (const fd of made) await process.close(fd);
        return event;
      }
      made.push(event.value);
    }
    const data = new Int32Array(command.count).fill(-1);
    data.set(made);
    const done = await this.call(command, new Uint8Array(data.buffer));
    if (!done.ok) {
      for (const fd of made) await process.close(fd);
      return done;
    }
    for (let i = 0; i < command.count; i++) {
      const key = keyOf(i);
      await this.drop((each) => each === key);
      // The relay has the descriptor from here on.
      if (made[i] !== undefined) this.add(key, made[i]!, fds[i]!, unmask);
    }
    fds.splice(0);
    return done;
  }

  /**
   * A VMM that closes its eventfd has given the unmask up: the kernel sees that, and takes another one. Here we have the
   * descriptor too, so it stays open, and goes when another one comes.
   */
  private async loseUnmask(command: Command, key: string): Promise<void> {
    if (!this.relays.has(key) || command.count !== 1) return;
    const lost = await this.call(command, new Uint8Array(Int32Array.of(-1).buffer));
    if (lost.ok) await this.drop((each) => each === key);
  }

  private add(key: string, labFd: number, fd: number, unmask: boolean): void {
    const { token } = this.device.process.fileOf(labFd);
    const watcher = unmask
      ? this.native.watch(fd, READABLE | BACKGROUND, () => void this.unmask(fd, labFd))
      : undefined;
    const relay = { labFd, token, fd, watcher: typeof watcher === 'number' ? undefined : watcher };
    this.relays.set(key, relay);
    this.byToken.set(token, relay);
  }

  private async unmask(fd: number, labFd: number): Promise<void> {
    const value = this.native.eventRead(fd);
    if (value > 0 && !this.over) await this.device.process.eventWrite(labFd, BigInt(value));
  }

  private async call(command: Command, data: Uint8Array): Promise<Result<Uint8Array>> {
    const bytes = new Uint8Array(vfio_irq_set.size + data.length);
    bytes.set(encode(vfio_irq_set, { ...command, argsz: bytes.length }));
    bytes.set(data, vfio_irq_set.size);
    const done = await this.device.ioctl(VFIO_DEVICE_SET_IRQS, bytes);
    return done.ok ? ok(new Uint8Array(0)) : done;
  }

  private async drop(which: (key: string) => boolean): Promise<void> {
    for (const [key, relay] of [...this.relays]) {
      if (!which(key)) continue;
      // An interrupt that was signalled before its eventfd went is not lost.
      if (!relay.watcher) await this.pass(relay);
      this.relays.delete(key);
      this.letGo(relay);
      await this.device.process.close(relay.labFd);
    }
  }

  private letGo({ token, fd, watcher }: Relay): void {
    this.byToken.delete(token);
    if (watcher) this.native.unwatch(watcher);
    this.native.close(fd);
  }

  /** The connection has ended; the lab's eventfds go with the process. */
  end(): void {
    this.over = true;
    clearInterval(this.timer);
    this.unlisten();
    for (const relay of this.relays.values()) this.letGo(relay);
    this.relays.clear();
  }
}

interface Command {
  readonly argsz: number;
  readonly flags: number;
  readonly index: number;
  readonly start: number;
  readonly count: number;
}

const turnsOff = (flags: number, count: number): boolean =>
  count === 0 && flags === (VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER);

/** What eventfd_ctx_fdget() of the kernel asks. */
function isEventfd(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith('anon_inode:[eventfd');
  } catch {
    return false;
  }
}
