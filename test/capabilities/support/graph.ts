/**
 * Random objects on top of each other: every kind that /dev/iommu has, each made from whatever there is.
 *
 * Rule: the seed decides everything. A refused call is fine, and leaves nothing; what was made is counted by kind.
 */
import {
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
  IOMMU_IOAS_COPY,
  iommu_test_dmabuf_get,
  iommu_test_pasid_attach,
  iommu_test_trigger_iopf,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_TRIGGER_IOPF,
  IOMMU_VFIO_IOAS,
  VFIO_IOMMU_MAP_DMA,
} from '@vfiolab/uapi';
import { Chance } from '../../../libs/sim/src/hunt/chance.js';
import type { Device } from './device.js';
import { FUNCTIONS } from './lab.js';
import { APERTURE, PAGE, type Program } from './program.js';
import { event, eventQueue, hwQueue, nested, vdevice, viommuOn, words } from './viommus.js';

/** Pages of memory and of the file. */
const MEMORY = 64;
const FAULTS = 4;
const NESTED_DATA = 0xdead;

type Kind =
  | 'access'
  | 'access pins'
  | 'area'
  | 'compat area'
  | 'copy'
  | 'destroyed'
  | 'dma-buf'
  | 'event'
  | 'fault queue'
  | 'faulting HWPT'
  | 'file area'
  | 'function'
  | 'HWPT'
  | 'HW queue'
  | 'IOAS'
  | 'mock device'
  | 'move'
  | 'nested HWPT'
  | 'page request'
  | 'PASID'
  | 'vDEVICE'
  | 'vEVENTQ'
  | 'vIOMMU';

export class Graph {
  /** How many of each kind were made. */
  readonly made: Partial<Record<Kind, number>> = {};
  private readonly chance: Chance;
  private readonly ioases: number[] = [];
  private readonly objects: number[] = [];
  private readonly devices: number[] = [];
  private readonly hwpts: number[] = [];
  /** Nest parents and vIOMMUs, with the IOAS below them. */
  private readonly parents = new Map<number, number>();
  private readonly viommus = new Map<number, number>();
  private readonly faults: number[] = [];
  private readonly accesses: number[] = [];
  private readonly functions: Device[] = [];
  private va = 0n;
  private file = -1;

  private constructor(
    private readonly p: Program,
    private readonly kind: 'mock' | 'real',
    seed: number,
  ) {
    this.chance = new Chance(seed);
  }

  static async grow(p: Program, kind: 'mock' | 'real', seed: number, steps: number): Promise<Graph> {
    const g = new Graph(p, kind, seed);
    g.va = await p.memory(MEMORY * PAGE);
    g.file = await p.memfd(MEMORY * PAGE);
    for (let i = 0; i < steps; i++) await g.step();
    return g;
  }

  /** Counts a call that was not refused. */
  private note(kind: Kind, answer: unknown): boolean {
    const done = answer === undefined || typeof answer === 'number' || typeof answer === 'bigint';
    if (done) this.made[kind] = (this.made[kind] ?? 0) + 1;
    return done;
  }

  /** One of the ids, or one that nobody has. */
  private some(ids: readonly number[]): number {
    return ids.length === 0 || this.chance.once(20) ? 4000 + this.chance.below(3) : this.chance.pick(ids);
  }

  private range(): { iova: bigint; length: number; offset: number } {
    const length = (1 + this.chance.below(8)) * PAGE;
    const offset = this.chance.below(MEMORY - 8) * PAGE;
    return { iova: APERTURE + BigInt(this.chance.below(64) * PAGE), length, offset };
  }

  private async step(): Promise<void> {
    if (this.ioases.length < 2 || this.chance.once(12)) return this.newIoas();
    const common = [this.area, this.area, this.fileArea, this.copy, this.access, this.accessPins, this.faultQueue];
    const deep = [this.guest, this.guest, this.pasids];
    const mocked = [this.mock, this.mock, this.hwpt, this.nested, this.faulting, this.move, this.pasid, this.viommu];
    const virtual = [
      this.vdevice,
      this.eventQueue,
      this.events,
      this.hwQueue,
      this.pageRequest,
      this.dmabuf,
      this.compat,
    ];
    const real = [this.openFunction, this.moveFunction, this.moveFunction, this.hwpt];
    const others = this.kind === 'mock' ? [...mocked, ...virtual, ...deep] : real;
    await this.chance.pick([...common, ...others, this.destroy]).call(this);
  }

  private async newIoas(): Promise<void> {
    this.ioases.push(await this.p.ioas());
    this.note('IOAS', undefined);
  }

  private async area(): Promise<void> {
    const { iova, length, offset } = this.range();
    this.note('area', await this.p.map(this.some(this.ioases), iova, this.va + BigInt(offset), length));
  }

  private async fileArea(): Promise<void> {
    const { iova, length, offset } = this.range();
    this.note('file area', await this.p.mapFile(this.some(this.ioases), iova, this.file, offset, length));
  }

  private async copy(): Promise<void> {
    const [from, to] = [this.range(), this.range()];
    const places = { src_iova: from.iova, dst_iova: to.iova, length: BigInt(PAGE) };
    const ids = { src_ioas_id: this.some(this.ioases), dst_ioas_id: this.some(this.ioases) };
    this.note('copy', await this.p.errno(IOMMU_IOAS_COPY, { flags: 7, ...ids, ...places }));
  }

  private async mock(): Promise<void> {
    const made = await this.p
      .mock(this.some([...this.ioases, ...this.hwpts]), this.chance.pick([0, 4]))
      .catch(() => undefined);
    if (!made) return;
    this.note('mock device', made.object);
    this.objects.push(made.object);
    this.devices.push(made.device);
  }

  private async hwpt(): Promise<void> {
    const flags = this.chance.pick([0, 1, 1, 1, 2, 8]);
    const ioas = this.some(this.ioases);
    const made = await this.p.call(IOMMU_HWPT_ALLOC, { dev_id: this.some(this.devices), pt_id: ioas, flags });
    if (!this.note('HWPT', made.errno)) return;
    this.hwpts.push(made.out.out_hwpt_id);
    if (flags === 1) this.parents.set(made.out.out_hwpt_id, ioas);
    if (flags === 2) await this.p.errno(IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id: made.out.out_hwpt_id, flags: 1 });
  }

  private async nested(): Promise<void> {
    const made = await nested(
      this.p,
      this.some(this.devices),
      this.some([...this.parents.keys(), ...this.viommus.keys()]),
    );
    if (this.note('nested HWPT', made)) this.hwpts.push(made as number);
  }

  private async faultQueue(): Promise<void> {
    const made = await this.p.call(IOMMU_FAULT_QUEUE_ALLOC, {});
    if (this.note('fault queue', made.errno)) this.faults.push(made.out.out_fault_id);
  }

  private async faulting(): Promise<void> {
    const data = { data_type: NESTED_DATA, data_len: 4, data_uptr: words(1), flags: FAULTS };
    const on = {
      dev_id: this.some(this.devices),
      pt_id: this.some([...this.parents.keys()]),
      fault_id: this.some(this.faults),
    };
    const made = await this.p.call(IOMMU_HWPT_ALLOC, { ...on, ...data });
    if (this.note('faulting HWPT', made.errno)) this.hwpts.push(made.out.out_hwpt_id);
  }

  private async move(): Promise<void> {
    const to = this.some([...this.ioases, ...this.hwpts, ...this.hwpts]);
    this.note('move', await this.p.replaceErrno(this.some(this.objects), to));
  }

  private async pasid(object = this.some(this.objects), pt_id = this.some(this.hwpts)): Promise<void> {
    const arm = { pasid: 1 + this.chance.below(3), pt_id };
    this.note('PASID', await this.p.opErrno(IOMMU_TEST_OP_PASID_ATTACH, iommu_test_pasid_attach, object, arm));
  }

  private async viommu(): Promise<void> {
    const parent = this.some([...this.parents.keys()]);
    const made = await viommuOn(this.p, this.some(this.devices), parent).catch(() => undefined);
    if (made === undefined) return;
    this.note('vIOMMU', made);
    this.viommus.set(made, this.parents.get(parent)!);
  }

  private async vdevice(): Promise<void> {
    const id = BigInt(this.chance.below(4));
    this.note('vDEVICE', await vdevice(this.p, this.some([...this.viommus.keys()]), this.some(this.devices), id));
  }

  private async eventQueue(): Promise<void> {
    const made = await eventQueue(this.p, this.some([...this.viommus.keys()]), 1 + this.chance.below(3)).catch(
      () => undefined,
    );
    if (made) this.note('vEVENTQ', made.id);
  }

  private async events(): Promise<void> {
    for (const _ of [0, 1, 2]) this.note('event', await event(this.p, this.some(this.devices)));
  }

  private async hwQueue(): Promise<void> {
    const [viommu, { iova }] = [this.some([...this.viommus.keys()]), this.range()];
    this.note('area', await this.p.map(this.viommus.get(viommu) ?? 0, iova, this.va, PAGE));
    this.note('HW queue', await hwQueue(this.p, viommu, this.chance.below(2), iova, PAGE));
  }

  private async pageRequest(dev_id = this.some(this.devices)): Promise<void> {
    const arm = {
      dev_id,
      pasid: 0xffffffff,
      grpid: this.chance.below(9),
      perm: 1,
      addr: 0x1000n,
    };
    this.note('page request', await this.p.opErrno(IOMMU_TEST_OP_TRIGGER_IOPF, iommu_test_trigger_iopf, 0, arm));
  }

  private async dmabuf(): Promise<void> {
    const made = await this.p.test(IOMMU_TEST_OP_DMABUF_GET, iommu_test_dmabuf_get, 0, { length: 8 * PAGE });
    if (made.errno) return;
    const { iova } = this.range();
    this.note('dma-buf', await this.p.mapFile(this.some(this.ioases), iova, made.ret, 0, PAGE));
  }

  private async compat(): Promise<void> {
    await this.p.errno(IOMMU_VFIO_IOAS, { op: 1, ioas_id: this.some(this.ioases) });
    const { iova } = this.range();
    this.note('compat area', await this.p.errno(VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr: this.va, iova, size: 4096n }));
  }

  /** What rarely comes about by chance: a guest's table with events and page requests behind a mock device. */
  private async guest(): Promise<void> {
    const n = this.objects.length;
    await this.mock();
    if (this.objects.length === n) return;
    const [object, device] = [this.objects.at(-1)!, this.devices.at(-1)!];
    const ioas = this.some(this.ioases);
    const parent = await this.p.hwpt(device, ioas, 1).catch(() => undefined);
    if (parent === undefined) return;
    this.parents.set(parent, ioas);
    const viommu = await viommuOn(this.p, device, parent);
    this.viommus.set(viommu, ioas);
    this.note('vDEVICE', await vdevice(this.p, viommu, device, 1n));
    this.note('vEVENTQ', (await eventQueue(this.p, viommu, 2)).id);
    await this.faultQueue();
    const [fault_id] = this.faults.slice(-1);
    const data = { data_type: NESTED_DATA, data_len: 4, data_uptr: words(1) };
    const on = { dev_id: device, pt_id: viommu, flags: FAULTS, fault_id: fault_id! };
    const { out } = await this.p.call(IOMMU_HWPT_ALLOC, { ...on, ...data });
    this.hwpts.push(out.out_hwpt_id);
    this.note('move', await this.p.replaceErrno(object, out.out_hwpt_id));
    this.note('event', await event(this.p, device));
    await this.pageRequest(device);
  }

  private async pasids(): Promise<void> {
    const ioas = this.some(this.ioases);
    const mock = await this.p.mock(ioas, 4).catch(() => undefined);
    if (!mock) return;
    this.objects.push(mock.object);
    this.devices.push(mock.device);
    const hwpt = await this.p.hwpt(mock.device, ioas, 8);
    this.hwpts.push(hwpt);
    await this.p.replaceErrno(mock.object, hwpt);
    await this.pasid(mock.object, hwpt);
  }

  private async access(): Promise<void> {
    const fd = await this.p.access(this.some(this.ioases)).catch(() => -1);
    if (fd < 0) return;
    this.note('access', fd);
    this.accesses.push(fd);
  }

  private async accessPins(): Promise<void> {
    if (this.accesses.length === 0) return;
    const made = await this.p.pin(this.chance.pick(this.accesses), this.range().iova, PAGE).catch(() => 'refused');
    this.note('access pins', made === 'refused' ? 'ENOENT' : made);
  }

  private async openFunction(): Promise<void> {
    if (this.functions.length === FUNCTIONS.length) return;
    const device = await this.p.device(FUNCTIONS[this.functions.length]!);
    this.note('function', device.id);
    this.functions.push(device);
    this.devices.push(device.id);
  }

  private async moveFunction(): Promise<void> {
    if (this.functions.length === 0) return;
    const device = this.chance.pick(this.functions);
    const to = this.some([...this.ioases, ...this.hwpts]);
    this.note('move', this.chance.once(4) ? await device.detach() : await device.attach(to));
  }

  private async destroy(): Promise<void> {
    const ids = [this.ioases, this.objects, this.hwpts, this.faults].filter((list) => list.length > 2);
    if (ids.length === 0) return;
    const list = this.chance.pick(ids);
    const at = this.chance.below(list.length);
    if (this.note('destroyed', await this.p.errno(IOMMU_DESTROY, { id: list[at]! }))) list.splice(at, 1);
  }
}
