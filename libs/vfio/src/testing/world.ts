/** The other services as far as a device asks them: eventfds that count, memory behind an IOMMU, and scripted refusals. */
import { type AnyMethod, type Dependent, deviceApi, groupsApi, iommuApi, iommufdApi, pagesApi } from '@vfiolab/core';
import { type Errno, fail, ok, type Result } from '@vfiolab/uapi';

type Answer = (args: any) => unknown;

export class World {
  /** Errno that the next calls of a method are refused with. */
  readonly refusals = new Map<string, Errno>();
  /** Counters of eventfds, by token. */
  readonly counters = new Map<string, number>();
  /** Held eventfds: number to token. */
  readonly holds = new Map<number, string>();
  /** Memory behind IOVA 0. */
  readonly memory = new Uint8Array(65536);
  /** PASIDs that were attached, and whether in place of what was there. */
  readonly pasids: [number, boolean][] = [];
  /** Claims on the group that were not given back. */
  claims = 0;
  bound = 0;
  /** What a hot reset hits, and whose it is in every context. */
  reach: Dependent[] = [];
  readonly ids = new Map<string, number>();
  /** Arguments of the hot resets that groups and other functions were asked for. */
  readonly hotResets: unknown[] = [];
  /** VF tokens that groups was told. */
  readonly tokens: (Uint8Array | undefined)[] = [];
  /** What the IOMMU was told of resets. */
  readonly parked: string[] = [];
  /** How often dma-bufs were revoked. */
  revokes = 0;
  /** Frames for other functions. */
  readonly frames: Uint8Array[] = [];
  private nextHold = 100;
  private nextDevice = 1;

  private readonly answers = new Map<string, Answer>([
    [groupsApi.cdevClaim.name, () => (this.claims++, ok(undefined))],
    [groupsApi.cdevRelease.name, () => void this.claims--],
    [groupsApi.vfTokenMatch.name, ({ token }) => (this.tokens.push(token), ok(undefined))],
    [groupsApi.vfTokenSet.name, ({ token }) => void this.tokens.push(token)],
    [groupsApi.groupUse.name, () => (this.claims++, ok({ vm: 0 }))],
    [groupsApi.groupUnuse.name, () => void this.claims--],
    [groupsApi.filesLeft.name, () => undefined],
    [groupsApi.resetReach.name, () => ok(this.reach)],
    [groupsApi.hotReset.name, (args) => (this.hotResets.push(args), ok(undefined))],
    [deviceApi.hotReset.name, (args) => (this.hotResets.push(args), ok(undefined))],
    [deviceApi.frame.name, ({ data }) => void this.frames.push(data)],
    [iommufdApi.deviceIds.name, ({ bdfs }) => bdfs.map((bdf: string) => this.ids.get(bdf) ?? -1)],
    [iommufdApi.compatBind.name, ({ context }) => (this.bound++, ok({ context, device: this.nextDevice++ }))],
    [iommufdApi.bind.name, () => (this.bound++, ok({ context: 7, device: this.nextDevice++ }))],
    [iommufdApi.unbind.name, () => void this.bound--],
    [iommufdApi.attach.name, ({ pt }) => ok({ pt: pt + 10 })],
    [iommufdApi.detach.name, () => undefined],
    [iommufdApi.pasidAttach.name, ({ pasid, pt, replace }) => (this.pasids.push([pasid, replace]), ok({ pt }))],
    [pagesApi.eventfdHold.name, ({ token }) => this.holdEvent(token.trimEnd())],
    [pagesApi.eventfdDrop.name, ({ event }) => this.dropEvent(event)],
    [pagesApi.eventfdSignal.name, ({ event }) => this.signal(event)],
    [pagesApi.eventfdWatch.name, ({ token }) => this.watchEvent(token.trimEnd())],
    [pagesApi.eventfdUnwatch.name, ({ event }) => this.dropEvent(event)],
    [iommufdApi.dmabufRevoke.name, () => void this.revokes++],
    [pagesApi.deviceFrames.name, ({ region }) => ok({ frame: 1000 * (region + 1) })],
    [iommuApi.park.name, ({ over }) => void this.parked.push(over ? 'over' : 'parked')],
    [iommuApi.dma.name, (args) => this.dma(args)],
  ]);

  answer(method: AnyMethod, args: unknown): unknown {
    const refused = this.refusals.get(method.name);
    if (refused) return fail(refused);
    return this.answers.get(method.name)!(args);
  }

  eventfd(token: string): string {
    this.counters.set(token, 0);
    return token;
  }

  /** The number under which an eventfd is held. */
  eventOf(token: string): number {
    return [...this.holds].find(([, each]) => each === token)![0];
  }

  /** Reads and clears a counter. */
  take(token: string): number {
    const n = this.counters.get(token)!;
    this.counters.set(token, 0);
    return n;
  }

  private holdEvent(token: string): unknown {
    if (!this.counters.has(token)) return fail('EINVAL');
    this.holds.set(this.nextHold, token);
    return ok(this.nextHold++);
  }

  private watchEvent(token: string): unknown {
    const held = this.holdEvent(token) as Result<number>;
    return held.ok ? ok({ event: held.value, ready: this.counters.get(token)! > 0 }) : held;
  }

  private dropEvent(event: number): void {
    if (!this.holds.delete(event)) throw new Error(`event ${event} was given back twice`);
  }

  private signal(event: number): void {
    const token = this.holds.get(event);
    if (token === undefined) throw new Error(`event ${event} was signalled after it was given back`);
    this.counters.set(token, this.counters.get(token)! + 1);
  }

  private dma({
    bdf,
    iova,
    write,
    length,
    data,
  }: {
    bdf: string;
    iova: bigint;
    write: boolean;
    length: number;
    data: Uint8Array;
  }): unknown {
    const at = Number(iova);
    if (at + length > this.memory.length)
      return { data: new Uint8Array(0), fault: { bdf, iova, write, reason: 'not mapped' } };
    if (!write) return { data: this.memory.slice(at, at + length), fault: undefined };
    this.memory.set(data, at);
    return { data: new Uint8Array(0), fault: undefined };
  }
}
