/**
 * A vDPA device and its driver: a DMA engine on a bus that is not PCI. (The lab's own: see groups.)
 *
 * Rule: its registers are the file, from offset 0 on; it has no config space, no interrupts and no migration. Like every device it
 * is quiet and as after power-on while nobody has it bound.
 */
import {
  type ByteReader,
  type ByteWriter,
  call,
  DONE,
  frontDoor,
  IOMMU,
  iommuApi,
  type IoctlResult,
  Lock,
  lockRead,
  lockWrite,
  MAX_DMA,
  type Op,
  unlock,
  type VdpaFacts,
} from '@vfiolab/core';
import { DEFAULT_MODEL, type DeviceModel, makeModel, type ModelBus, type Width } from '@vfiolab/devices';
import { fail, type KernelProfile, ok, type Result } from '@vfiolab/uapi';
import type { Binding, CdevFile } from './cdev-file.js';
import { commonIoctls } from './common-ioctls.js';
import type { OpenDevice } from './device-call.js';
import { readWord, writeWord } from './little-endian.js';
import { PlannedWork } from './planned-work.js';
import { NO_LOG, type PlainDevice, PlainDriver } from './plain-driver.js';
import { flagsOf, type ProfileFlags } from './profile-flags.js';

const NO_DATA = new Uint8Array(0);
const WIDTHS: readonly number[] = [1, 2, 4, 8];
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

  readonly interrupts = 'pin';

  *raise(): Op<void> {}

  lower(): void {}

  /** It has no port. */
  *transmit(): Op<void> {}
  *notify(): Op<void> {}
  *ask(): Op<Uint8Array> {
    return new Uint8Array(0);
  }

  /** The model begins anew. */
  forget(): void {
    this.planned.forget();
  }

  later(ms: number, work: () => Op<void>): Op<void> {
    return this.planned.later(ms, work);
  }
}

export class VdpaDevice implements PlainDevice {
  readonly emulated = false;
  readonly noiommu = false;
  readonly heldEventfds = 0;
  readonly refusesOpen = undefined;
  readonly takesToken = false;
  readonly set = new Lock();
  readonly memory = new Lock();
  readonly flags: ProfileFlags;
  readonly log = NO_LOG;
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

  encode(w: ByteWriter): void {
    this.model.encode(w);
  }

  decode(r: ByteReader): void {
    this.model.decode(r);
  }

  check(): string[] {
    return this.model.check();
  }

  describe(): string[] {
    return [`vdpa ${this.name}`, this.model.describe()];
  }
}

export class VdpaDriver extends PlainDriver<VdpaDevice> {
  constructor(device: VdpaDevice) {
    super(device, ROWS, 'ENODEV');
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
}

const isRegister = ({ registerBytes }: DeviceModel, offset: number, length: number): boolean =>
  WIDTHS.includes(length) && offset % length === 0 && offset + length <= registerBytes;
