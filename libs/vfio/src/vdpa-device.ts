/**
 * A vDPA device and its driver: a DMA engine on a bus that is not PCI. (The lab's own: see groups.)
 *
 * Rule: its registers are the file, from offset 0 on; it has no config space, no interrupts and no migration. Like every device it
 * is quiet and as after power-on while nobody has it bound.
 */
import {
  answerIoctl,
  type ByteReader,
  type ByteWriter,
  call,
  DONE,
  failed,
  frontDoor,
  IOMMU,
  iommuApi,
  type IoctlArgs,
  type IoctlReply,
  type IoctlResult,
  Lock,
  lockRead,
  lockWrite,
  MAX_DMA,
  type Op,
  type Request,
  unlock,
  type VdpaFacts,
} from '@vfiolab/core';
import { DEFAULT_MODEL, type DeviceModel, makeModel, type ModelBus, type Width } from '@vfiolab/devices';
import { fail, type KernelProfile, ok, type Result } from '@vfiolab/uapi';
import type { Binding, CdevFile } from './cdev-file.js';
import type { CommonDevice, DmaLogging, Driver, OpenFile } from './common-device.js';
import { commonIoctls } from './common-ioctls.js';
import type { OpenDevice } from './device-call.js';
import { readWord, writeWord } from './little-endian.js';
import { PlannedWork } from './planned-work.js';
import { flagsOf, type ProfileFlags } from './profile-flags.js';

const NO_DATA = new Uint8Array(0);
const WIDTHS: readonly number[] = [1, 2, 4, 8];
const NOTHING_LOGGED: DmaLogging = {
  canStart: false,
  on: false,
  start: () => undefined,
  stop: () => undefined,
  take: () => [],
};
const ROWS = frontDoor<OpenDevice<VdpaDevice>>(commonIoctls);

/** All of its DMA goes through the IOMMU. */
class VdpaBus implements ModelBus {
  private readonly planned: PlannedWork;

  constructor(
    private readonly bdf: string,
    memory: Lock,
  ) {
    this.planned = new PlannedWork(memory);
  }

  *dmaRead(iova: bigint, length: number): Op<Uint8Array | undefined> {
    const wanted = { bdf: this.bdf, iova, write: false, length: Math.min(length, MAX_DMA), data: NO_DATA };
    const { data, fault } = yield* call(IOMMU, iommuApi.dma, wanted);
    return fault ? undefined : data;
  }

  *dmaWrite(iova: bigint, data: Uint8Array): Op<boolean> {
    const wanted = { bdf: this.bdf, iova, write: true, length: data.length, data };
    return !(yield* call(IOMMU, iommuApi.dma, wanted)).fault;
  }

  *raise(): Op<void> {}

  lower(): void {}

  /** The model begins anew. */
  forget(): void {
    this.planned.forget();
  }

  later(ms: number, work: () => Op<void>): Op<void> {
    return this.planned.later(ms, work);
  }
}

export class VdpaDevice implements CommonDevice {
  readonly emulated = false;
  readonly noiommu = false;
  readonly refusesOpen = undefined;
  readonly takesToken = false;
  readonly set = new Lock();
  readonly memory = new Lock();
  readonly flags: ProfileFlags;
  readonly log = NOTHING_LOGGED;
  readonly migration = undefined;
  private readonly bus: VdpaBus;
  readonly model: DeviceModel;
  bound: CdevFile | undefined;
  shared: { files: number; readonly binding: Binding | undefined } | undefined;

  constructor(readonly facts: VdpaFacts) {
    this.flags = flagsOf(facts.profile as KernelProfile);
    this.bus = new VdpaBus(facts.name, this.memory);
    this.model = makeModel(DEFAULT_MODEL, this.bus)!;
  }

  get name(): string {
    return this.facts.name;
  }

  get node(): string {
    return `/dev/vhost-vdpa-${this.facts.index}`;
  }

  get isOpen(): boolean {
    return this.bound !== undefined;
  }

  enable(): void {
    this.restartModel();
  }

  *disable(): Op<void> {
    yield* lockWrite(this.memory);
    this.restartModel();
    yield* unlock(this.memory);
  }

  private restartModel(): void {
    this.bus.forget();
    this.model.reset();
  }
}

export class VdpaDriver implements Driver {
  readonly heldEventfds = 0;

  constructor(readonly device: VdpaDevice) {}

  *wakeUp(): Op<void> {}

  ioctl(on: OpenFile, req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    const found = ROWS.get(args.cmd);
    if (!found) return failed('ENOTTY');
    return answerIoctl(found, this.device.flags.profile, { ...on, device: this.device }, req, args);
  }

  *reset(): Op<IoctlResult> {
    yield* this.device.disable();
    return DONE;
  }

  /** One register. EINVAL: no register, or not aligned. */
  *read(offset: number, length: number): Op<Result<Uint8Array>> {
    const { model, memory } = this.device;
    if (!isRegister(model, offset, length)) return fail('EINVAL');
    yield* lockRead(memory);
    const out = new Uint8Array(length);
    writeWord(out, 0, length, model.read(offset, length as Width));
    return ok(out);
  }

  /** Ends when everything that the write started has ended. EINVAL as `read`. */
  *write(offset: number, data: Uint8Array): Op<Result<number>> {
    const { model, memory } = this.device;
    if (!isRegister(model, offset, data.length)) return fail('EINVAL');
    yield* lockRead(memory);
    yield* model.write(offset, data.length as Width, readWord(data, 0, data.length));
    return ok(data.length);
  }

  *map(): Op<Result<number>> {
    return fail('ENODEV');
  }

  *load(): Op<Result<Uint8Array>> {
    return fail('EIO');
  }

  *store(): Op<Result<number>> {
    return fail('EIO');
  }

  /** It is never unbound. */
  *request(): Op<void> {}

  encode(w: ByteWriter): void {
    this.device.model.encode(w);
  }

  decode(r: ByteReader): void {
    this.device.model.decode(r);
  }

  check(): string[] {
    return this.device.model.check();
  }

  describe(): string[] {
    return [`vdpa ${this.device.name}`, this.device.model.describe()];
  }
}

const isRegister = ({ registerBytes }: DeviceModel, offset: number, length: number): boolean =>
  WIDTHS.includes(length) && offset % length === 0 && offset + length <= registerBytes;
