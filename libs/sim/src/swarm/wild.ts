/**
 * Programs that call anything with anything, while their device's DMA goes on.
 *
 * Rule: nothing is foretold but that an errno is documented, and that nothing of theirs is left when they have ended.
 */
import { type IoctlReply, type Segment, sysApi } from '@vfiolab/core';
import {
  type AnyIoctlDef,
  compatIoctls,
  containerIoctls,
  decode,
  deviceIoctls,
  errnoName,
  groupIoctls,
  type IoctlDef,
  iommufdIoctls,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  iommuTestArms,
  type1Ioctls,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '@vfiolab/uapi';
import { ArgumentMaker, IOMMUFD_FD, STRUCT_AT } from '../hunt/arguments.js';
import { mayAnswerOn } from '../hunt/documented.js';
import { type Act, ask, type File, ioctl, pause } from './act.js';
import { iovaOf, naming, SLOTS, type SwarmProgram } from './program.js';
import type { Pace } from './steady.js';

const IOMMUFD_DEFS: readonly AnyIoctlDef[] = Object.values({ ...iommufdIoctls, ...compatIoctls });
const TEST = IOMMU_TEST_CMD as unknown as AnyIoctlDef;
const DEFINITIONS: Readonly<Record<string, readonly AnyIoctlDef[]>> = {
  iommufd: IOMMUFD_DEFS,
  device: Object.values(deviceIoctls),
  group: Object.values(groupIoctls),
  container: Object.values({ ...containerIoctls, ...type1Ioctls }),
};
/** Ioctls that may answer with a new file. */
const MAKES_FILES: ReadonlySet<string> = new Set([
  ...['IOMMU_FAULT_QUEUE_ALLOC', 'IOMMU_VEVENTQ_ALLOC', 'IOMMU_TEST_CMD', 'VFIO_GROUP_GET_DEVICE_FD'],
  'VFIO_DEVICE_FEATURE',
]);
const MOST_FILES = 8;
const CALLS = 24;
/** Between two DMAs, and between two looks for a device, ms. */
const DMA_MS = 5;
const IDLE_MS = 50;

export class Wild {
  private readonly files: File[] = [];
  private readonly maker: ArgumentMaker;
  private device: File | undefined;
  private over = false;

  constructor(private readonly p: SwarmProgram) {
    this.maker = new ArgumentMaker(p.chance, p.around.profile, BigInt(p.va));
  }

  *run({ sessions, restMs }: Pace): Act<void> {
    for (let i = 0; i < sessions && !this.p.around.over(); i++) {
      yield* this.prepare();
      for (let n = 0; n < CALLS; n++) yield* this.move();
      if (i + 1 === sessions && this.p.chance.once(2)) break;
      while (this.files.length > 0) yield* this.closeOne();
      if (restMs > 0) yield* pause(this.p.chance.below(2 * restMs));
    }
    this.over = true;
  }

  /** The other thread: the device reads and writes wherever it can. */
  *dma(): Act<void> {
    for (let i = 0; !this.over; i++) {
      // Between two sessions there is nothing to do it with.
      yield* pause(this.device ? DMA_MS : IDLE_MS);
      if (!this.device) continue;
      yield* this.p.dma(this.device, i % 2 === 1, iovaOf((i * 7) % SLOTS));
    }
  }

  /** What most ids will name: an address space with something in it, and a device, or a mock of one. */
  private *prepare(): Act<void> {
    const { p } = this;
    const iommufd = yield* p.openIommufd();
    this.files.push(iommufd);
    this.maker.forget();
    const { out } = yield* ioctl(iommufd, IOMMU_IOAS_ALLOC, {});
    this.maker.learn('ioas', out.out_ioas_id);
    const area = { ioas_id: out.out_ioas_id, flags: 7, user_va: BigInt(p.va), length: 16384n };
    yield* ioctl(iommufd, IOMMU_IOAS_MAP, { ...area, iova: iovaOf(0) });
    const { nodes } = p.around;
    if (nodes.length === 0) {
      const mock = { op: IOMMU_TEST_OP_MOCK_DOMAIN, id: out.out_ioas_id, u: new Uint8Array(48) };
      const made = yield* ioctl(iommufd, IOMMU_TEST_CMD, mock);
      return this.learn(TEST, made.reply);
    }
    const node = p.chance.pick(nodes);
    if (node.alone && p.chance.once(3)) return yield* this.openGroup(node.group);
    const device = yield* p.open(node.owner, node.cdev);
    if (!device) return;
    this.files.push(device);
    const fds = [naming(IOMMUFD_FD, iommufd)];
    const bound = yield* ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, { iommufd: IOMMUFD_FD }, { fds, size: 16 });
    if (bound.errno) return;
    this.maker.learn('dev', bound.out.out_devid);
    yield* p.enable(device);
    yield* ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: out.out_ioas_id }, { size: 12 });
    this.device = device;
  }

  private *openGroup(path: string): Act<void> {
    for (const each of [path, '/dev/vfio/vfio']) {
      const file = yield* this.p.openPath(each);
      if (file) this.files.push(file);
    }
  }

  private *move(): Act<void> {
    const { chance } = this.p;
    if (this.files.length > 1 && chance.once(25)) return yield* this.closeOne();
    if (chance.once(8)) yield* pause(1 + chance.below(10));
    if (this.files.length === 0) return yield* this.prepare();
    return yield* this.call(chance.pick(this.files));
  }

  private *closeOne(): Act<void> {
    const [file] = this.files.splice(this.p.chance.below(this.files.length), 1);
    if (file === this.device) this.device = undefined;
    yield* this.p.close(file!);
  }

  private *call(file: File): Act<void> {
    const { chance, around } = this.p;
    const known = DEFINITIONS[file.kind] ?? IOMMUFD_DEFS;
    const def = file.kind === 'iommufd' && around.nodes.length === 0 && chance.once(3) ? TEST : chance.pick(known);
    const segments: Segment[] = def.kind === 'struct' ? this.maker.segments(def as IoctlDef) : [];
    const cmd = chance.once(50) ? 0x3b00 + chance.below(256) : def.nr;
    const arg = def.kind === 'plain' ? chance.below(12) : STRUCT_AT;
    const fds = this.files.map((each, n) => naming(n + IOMMUFD_FD, each));
    const method = MAKES_FILES.has(def.name) && this.files.length < MOST_FILES ? sysApi.ioctlFile : sysApi.ioctl;
    const reply = yield* ask(file.owner, method, { token: file.token, cmd, arg, segments, fds });
    around.count('calls');
    const errno = errnoName(reply.errno);
    if (errno) around.count('refused');
    if (errno && !mayAnswerOn(file.kind, cmd, errno))
      around.find(`${this.p.client.name}: ${def.name} (${cmd.toString(16)}) on a ${file.kind} answers ${errno}`);
    if (!errno && cmd === def.nr) this.learn(def, reply);
    if (reply.file)
      this.files.push({ owner: reply.file.owner ?? file.owner, token: reply.file.token, kind: reply.file.kind });
  }

  /** Remembers the ids that a call told. */
  private learn(def: AnyIoctlDef, { writes }: IoctlReply): void {
    const written = writes.find(({ va }) => va === STRUCT_AT);
    if (def.kind !== 'struct' || !written || written.bytes.length < def.struct.size) return;
    const out: Record<string, unknown> = decode(def.struct, written.bytes);
    const arm = out['u'] instanceof Uint8Array ? iommuTestArms.get(out['op'] as number) : undefined;
    for (const [name, value] of Object.entries({ ...out, ...(arm && decode(arm, out['u'] as Uint8Array)) })) {
      const kind = /^out_(\w+)_id$/.exec(name)?.[1];
      if (kind && typeof value === 'number') this.maker.learn(kind, value);
    }
  }
}
