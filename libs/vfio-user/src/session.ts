/**
 * One connected VMM: its commands, one after another, as system calls of its process in the lab.
 *
 * Words: a *command* has one function here, which answers the payload of the reply or an errno.
 * Rule: commands are carried out in the order in which they came. What a VMM does wrong is an error reply, or the end of its
 * own connection; nobody else notices.
 */
import type { Process } from '@vfiolab/client';
import { type Errno, errnoNumber, fail, ok, type Result } from '@vfiolab/uapi';
import { DEFAULT_LIMITS, type Limits, readVersion, versionPayload } from './capabilities.js';
import { Channel, type Message } from './channel.js';
import { type Commands, deviceCommands } from './commands.js';
import { DmaAreas } from './dma.js';
import { FeatureCalls } from './features.js';
import type { GuestMemory } from './guest-memory.js';
import { Interrupts } from './interrupts.js';
import { LabDevice } from './lab-device.js';
import type { Native } from './native.js';
import { RemoteDma } from './remote.js';
import * as wire from './wire.js';

/** Commands that wait; beyond, the VMM's socket is not read until some are done. */
export const MAX_WAITING = 256;
/** The longest message around the longest transfer. */
const MESSAGE_EXTRA = 4096;

export interface SessionPlan {
  readonly bdf: string;
  readonly limits: Limits;
  /** How long the VMM may take to answer a command of ours. */
  readonly timeoutMs: number;
  /** How long the lab may take with a command of the VMM's; then the device is lost. */
  readonly labMs: number;
  /** Areas of DMA memory. */
  readonly maxMaps: number;
  /** A new process of the lab, started; and its end, which closes all that it had. */
  start(): Promise<Process>;
  end(process: Process): Promise<void>;
}

/** What there is once the VMM has said its version. */
interface Attached {
  readonly device: LabDevice;
  readonly areas: DmaAreas;
  readonly interrupts: Interrupts;
  readonly remote: RemoteDma;
  readonly commands: Commands;
}

export class Session {
  /** Resolves when the connection has ended and nothing of it is left. */
  readonly ended: Promise<void>;
  private readonly channel: Channel;
  private readonly waiting: Message[] = [];
  private busy = false;
  private process: Process | undefined;
  private attached: Attached | undefined;
  private peer = DEFAULT_LIMITS;
  private finish: () => void = () => undefined;
  /** The command that is being carried out: since when, and what ends it before the lab does. */
  private begun = 0;
  private giveUp: () => void = () => undefined;
  private readonly watchdog: NodeJS.Timeout;
  /** Replies are put together here. */
  private out = new Uint8Array(4096);

  constructor(
    fd: number,
    private readonly plan: SessionPlan,
    private readonly native: Native,
    private readonly memory: GuestMemory,
  ) {
    this.ended = new Promise((resolve) => (this.finish = resolve));
    const limits = { maxFds: plan.limits.maxFds, maxMessage: plan.limits.maxTransfer + MESSAGE_EXTRA };
    const events = {
      message: (message: Message) => this.receive(message),
      garbage: (header: wire.Header) => this.refuseAndClose(header),
      closed: () => void this.afterwards(),
    };
    this.channel = new Channel(native, fd, events, limits);
    this.watchdog = setInterval(() => this.look(), plan.labMs / 10);
  }

  /** Is the VMM still there? */
  get open(): boolean {
    return this.channel.open;
  }

  /** Ends the connection from our side. */
  close(): void {
    this.channel.close();
  }

  private receive(message: Message): void {
    if ((message.header.flags & wire.TYPE_MASK) === wire.TYPE_REPLY) {
      this.dropFds(message);
      return this.attached?.remote.reply(message);
    }
    this.waiting.push(message);
    if (this.waiting.length >= MAX_WAITING) this.channel.pause();
    if (!this.busy) void this.work();
  }

  private async work(): Promise<void> {
    this.busy = true;
    for (let message = this.next(); message; message = this.next()) {
      if (this.channel.open) await this.carryOut(message);
      this.dropFds(message);
      if (this.waiting.length < MAX_WAITING / 2 && this.channel.open) this.channel.resume();
    }
    this.busy = false;
    if (!this.channel.open) await this.leave();
  }

  private next(): Message | undefined {
    if (this.waiting.length === 0) this.channel.soon();
    return this.waiting.shift();
  }

  private dropFds({ fds }: Message): void {
    if (fds.length > 0) for (const fd of fds.splice(0)) this.native.close(fd);
  }

  private async carryOut(message: Message): Promise<void> {
    const { header } = message;
    const answer = this.answer(message);
    const done = answer instanceof Promise ? await this.inTime(answer) : answer;
    // The lab itself could not answer: for the VMM its device is gone.
    if ((header.flags & wire.NO_REPLY) === 0) this.reply(header, done ?? fail('ENODEV'));
    // Without a version, or without a device, nothing that follows would mean anything.
    if (!this.attached || !done) this.channel.closeSoon();
  }

  /** Undefined: the lab cannot answer, or takes too long. One timer serves all commands, so it may take a tenth longer. */
  private inTime<T>(work: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      const giveUp = (): void => resolve(undefined);
      this.giveUp = giveUp;
      this.begun = performance.now();
      work.then(resolve, giveUp);
    });
  }

  private look(): void {
    if (this.busy && performance.now() - this.begun > this.plan.labMs) this.giveUp();
  }

  private answer(message: Message): Promise<Result<Uint8Array>> | Result<Uint8Array> {
    const { header } = message;
    if ((header.flags & wire.TYPE_MASK) !== wire.TYPE_COMMAND || message.tooManyFds) return fail('EINVAL');
    if (!this.attached) return header.command === wire.VERSION ? this.version(message) : fail('EINVAL');
    const command = this.attached.commands.get(header.command);
    return command ? command(message) : fail('EINVAL');
  }

  /** The version we speak is 0.0, which every other 0.x speaks too. */
  private async version(message: Message): Promise<Result<Uint8Array>> {
    const proposal = readVersion(message.payload);
    if (!proposal.ok) return proposal;
    const { major, limits } = proposal.value;
    if (major !== 0 || message.fds.length > 0) return fail('EINVAL');
    this.peer = limits;
    this.process = await this.plan.start();
    const opened = await LabDevice.open(this.process, this.plan.bdf);
    if (!opened.ok) return opened;
    const device = opened.value;
    const features = new FeatureCalls(device);
    const areas = new DmaAreas(device, this.memory, this.plan.maxMaps, (...of) => features.dirty(...of));
    const interrupts = new Interrupts(device, this.native);
    const remote = new RemoteDma(this.process, this.channel, areas, () => this.mostAtOnce, this.plan.timeoutMs);
    const commands = deviceCommands({
      device,
      areas,
      interrupts,
      remote,
      features,
      maxTransfer: this.plan.limits.maxTransfer,
    });
    this.attached = { device, areas, interrupts, remote, commands };
    return ok(versionPayload(this.plan.limits, { migration: await features.canMigrate(), maxMaps: this.plan.maxMaps }));
  }

  private get mostAtOnce(): number {
    return Math.min(this.peer.maxTransfer, this.plan.limits.maxTransfer);
  }

  private reply({ id, command }: wire.Header, done: Result<Uint8Array>): void {
    if (!done.ok) return this.sendError(id, command, done.errno);
    const { value } = done;
    const size = wire.HEADER_BYTES + value.length;
    if (size > this.out.length) this.out = new Uint8Array(size);
    wire.writeHeader(this.out, { id, command, size, flags: wire.TYPE_REPLY, error: 0 });
    this.out.set(value, wire.HEADER_BYTES);
    this.channel.sendCopy(this.out, size);
  }

  private sendError(id: number, command: number, errno: Errno): void {
    const flags = wire.TYPE_REPLY | wire.ERROR;
    this.channel.send(wire.makeMessage({ id, command, size: wire.HEADER_BYTES, flags, error: errnoNumber(errno) }));
  }

  private refuseAndClose({ id, command }: wire.Header): void {
    this.sendError(id, command, 'EINVAL');
    this.channel.closeSoon();
  }

  /** The connection has ended: a command that is being carried out is waited for. */
  private afterwards(): void {
    for (const message of this.waiting) this.dropFds(message);
    this.attached?.remote.end();
    if (!this.busy) void this.leave();
  }

  private async leave(): Promise<void> {
    const { attached, process } = this;
    this.attached = undefined;
    this.process = undefined;
    clearInterval(this.watchdog);
    attached?.remote.end();
    attached?.interrupts.end();
    try {
      if (process) await this.plan.end(process);
      attached?.areas.processEnded();
    } catch {
      // The lab does not answer any more: its hold on the VMM's memory goes with it.
    }
    this.finish();
  }
}
