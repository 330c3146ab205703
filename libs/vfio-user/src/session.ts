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
    for (let message = this.waiting.shift(); message; message = this.waiting.shift()) {
      if (this.channel.open) await this.carryOut(message);
      this.dropFds(message);
      if (this.waiting.length < MAX_WAITING / 2 && this.channel.open) this.channel.resume();
    }
    this.busy = false;
    if (!this.channel.open) await this.leave();
  }

  private dropFds({ fds }: Message): void {
    for (const fd of fds.splice(0)) this.native.close(fd);
  }

  private async carryOut(message: Message): Promise<void> {
    const { header } = message;
    let done: Result<Uint8Array>;
    let lost = false;
    try {
      done = await this.inTime(this.answer(message));
    } catch {
      // The lab itself could not answer: for the VMM its device is gone.
      done = fail('ENODEV');
      lost = true;
    }
    if ((header.flags & wire.NO_REPLY) === 0) this.reply(header, done);
    // Without a version, or without a device, nothing that follows would mean anything.
    if (!this.attached || lost) this.channel.closeSoon();
  }

  /** Rejects when the lab takes too long. */
  private async inTime<T>(work: Promise<T> | T): Promise<T> {
    if (!(work instanceof Promise)) return work;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('the lab does not answer')), this.plan.labMs);
    });
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
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
    const areas = new DmaAreas(device, this.memory, this.plan.maxMaps);
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
    const size = wire.HEADER_BYTES + done.value.length;
    const bytes = wire.makeMessage({ id, command, size, flags: wire.TYPE_REPLY, error: 0 });
    bytes.set(done.value, wire.HEADER_BYTES);
    this.channel.send(bytes);
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
