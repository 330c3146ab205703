/**
 * The core of the device service: one PCI function, from the moment vfio-pci is bound to it until it is unbound.
 *
 * Words: a *file* is one open of the function, of its cdev or through its group; it may be held under several capabilities (grants) and is *released*
 * when the last of them is closed.
 * Rule (E9, I46): release quiets the function first, then detaches it, then leaves the iommufd, which gives up DMA
 * ownership, and only then lets go of the group. Nothing of it is skipped, whoever closes and for whatever reason.
 */
import {
  type Address,
  answerIoctl,
  type ArgsOf,
  type ByteReader,
  type ByteWriter,
  call,
  type Core,
  deviceApi,
  failed,
  FileTable,
  type FunctionFacts,
  functionFacts,
  GROUPS,
  groupsApi,
  implement,
  type IoctlArgs,
  IOMMUFD,
  iommufdApi,
  isOp,
  LAB,
  lockRead,
  lockWrite,
  methodTable,
  type NewFile,
  type Op,
  type Request,
  Signal,
  type Surroundings,
  sysApi,
  unlock,
  type View,
  wait,
} from '@vfiolab/core';
import { fail, ok, type Result, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { CdevFile, O_ACCMODE, O_RDWR } from './cdev-file.js';
import { closeShared, decodeShared, encodeShared, openShared } from './group-open.js';
import { cdevOnly, deviceIoctlRows } from './ioctl-table.js';
import { reset } from './ioctl/reset.js';
import { mapRegion, tellMemory } from './map-region.js';
import { peerRead, peerWrite } from './peer-access.js';
import { readRegion, writeRegion } from './region-access.js';
import { VfioDevice, whatIsWrong } from './vfio-device.js';

type IoctlReply = ReturnType<typeof failed>;

const FILE_KIND = 'device';
const NODE = '/dev/vfio/devices/vfio';

export class DeviceCore implements Core {
  readonly service = 'device';
  private device: VfioDevice | undefined;
  /** Unbinding has begun: the node is gone, open files live on (semantics A3.9). */
  private removing = false;
  private readonly tokens = new FileTable<CdevFile>();
  /** Files that are not released yet. */
  private readonly files = new Map<number, CdevFile>();
  private nextFile = 1;
  private readonly released = new Signal();
  private surroundings: Surroundings | undefined;

  readonly methods = methodTable(
    implement(deviceApi, {
      probe: (_req, facts) => this.probe(facts),
      openInGroup: (req, { client, context }) => this.openInGroup(req, client, context),
      mapRegion: (req, args) => this.mapRegion(req, args),
      peerRead: (_req, { region, offset, length }) => peerRead(this.device, region, offset, length),
      peerWrite: (_req, { region, offset, data }) => peerWrite(this.device, region, offset, data),
      remove: () => this.remove(),
      pageResponse: (_req, { success }) => this.pageResponse(success),
    }),
    implement(sysApi, {
      open: (req, { path, flags }) => this.open(req, path, flags),
      close: (req, { token }) => this.close(req, token),
      ioctl: (req, args) => this.ioctl(req, args),
      ioctlFile: (req, args) => this.ioctl(req, args),
      pread: (req, args) => this.pread(req, args.token, args.offset, args.length),
      pwrite: (req, args) => this.pwrite(req, args.token, args.offset, args.data),
      grant: (req, { token, to }) => this.grant(req, token, to),
      clientGone: (req, { client }) => this.clientGone(req, client),
    }),
  );

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  /** EBUSY: bound already. EINVAL: no function that can be driven. */
  private probe(facts: FunctionFacts): Result<void> {
    if (this.device) return fail('EBUSY');
    if (whatIsWrong(facts) !== undefined) return fail('EINVAL');
    this.device = new VfioDevice(facts);
    return ok(undefined);
  }

  /** Asks the user to let go (REQ eventfd), then waits until every file is released; bound or not (traces b054, b056). */
  private *remove(): Op<void> {
    const { device } = this;
    if (!device || this.removing) return;
    this.removing = true;
    yield* device.irqs.signalSingle('req');
    while (this.files.size > 0) yield* wait(this.released);
    this.removing = false;
    this.device = undefined;
  }

  /** A page that the model waits for has come, or will not. The DMA that asked has ended its register write by then. */
  private *pageResponse(success: boolean): Op<void> {
    const { device } = this;
    if (!device) return;
    yield* lockWrite(device.memory);
    if (device.model.pageResponse) yield* device.model.pageResponse(success);
  }

  /** Any number of opens; exclusive is only the bind (semantics A3.2). */
  private open(req: Request, path: string, flags: number): Result<NewFile> {
    if (!this.device || this.removing || path !== `${NODE}${this.device.facts.minor}`) return fail('ENODEV');
    const file = new CdevFile(this.nextFile, flags & O_ACCMODE);
    const token = this.tokens.open(req.from, file, req.entropy);
    if (token === undefined) return fail('EMFILE');
    this.nextFile++;
    this.files.set(file.id, file);
    return ok({ token, kind: FILE_KIND });
  }

  /** Only groups may ask. The file is there before anything waits: from then on the function cannot be unbound. */
  private *openInGroup(req: Request, client: Address, context: number): Op<Result<NewFile>> {
    const { device } = this;
    if (req.from !== GROUPS) return fail('EPERM');
    if (!device || this.removing) return fail('ENODEV');
    const file = new CdevFile(this.nextFile, O_RDWR, true);
    const token = this.tokens.open(client, file, req.entropy);
    if (token === undefined) return fail('EMFILE');
    this.nextFile++;
    this.files.set(file.id, file);
    yield* lockRead(file.inUse);
    yield* lockWrite(device.set);
    const opened = yield* openShared(device, client, context);
    if (opened.ok) return ok({ token, kind: FILE_KIND });
    this.tokens.close(token, client);
    this.forget(file);
    return opened;
  }

  private grant(req: Request, token: string, to: Address): Result<NewFile> {
    const file = this.tokens.get(token, req.from);
    if (!file) return fail('EBADF');
    const granted = this.tokens.open(to, file, req.entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: FILE_KIND });
  }

  private *close(req: Request, token: string): Op<Result<void>> {
    const closed = this.tokens.close(token, req.from);
    if (!closed) return fail('EBADF');
    if (closed.last) yield* this.release(closed.file);
    return ok(undefined);
  }

  private *clientGone(req: Request, client: Address): Op<void> {
    if (req.from !== LAB) return;
    const last: CdevFile[] = [];
    for (const token of this.tokens.of(client)) {
      const closed = this.tokens.close(token, client)!;
      if (closed.last) last.push(closed.file);
    }
    this.surroundings?.forget(client);
    for (const file of last) yield* this.release(file);
  }

  /** Waits for the calls on the file, then undoes what it did in the order of E9. An open that failed has left nothing. */
  private *release(file: CdevFile): Op<void> {
    yield* lockWrite(file.inUse);
    if (!this.files.has(file.id)) return;
    const device = this.device!;
    if (file.viaGroup) yield* closeShared(device);
    else if (file.binding) yield* this.unbind(device, file);
    this.forget(file);
  }

  private forget(file: CdevFile): void {
    this.files.delete(file.id);
    this.released.raise();
  }

  private *unbind(device: VfioDevice, file: CdevFile): Op<void> {
    yield* lockWrite(device.set);
    yield* device.disable();
    yield* tellMemory(device);
    const binding = file.binding!;
    if (file.attached !== undefined) yield* call(IOMMUFD, iommufdApi.detach, binding);
    file.attached = undefined;
    file.pasids.clear();
    yield* call(IOMMUFD, iommufdApi.unbind, binding);
    file.binding = undefined;
    device.bound = undefined;
    yield* call(GROUPS, groupsApi.cdevRelease, { bdf: device.facts.bdf });
    yield* unlock(device.set);
  }

  private *ioctl(req: Request, args: IoctlArgs): Op<IoctlReply> {
    const file = this.tokens.get(args.token, req.from);
    if (!file) return failed('EBADF');
    yield* lockRead(file.inUse);
    const device = this.device!;
    if (!file.hasAccess && args.cmd !== VFIO_DEVICE_BIND_IOMMUFD.nr) return failed('EINVAL');
    if (args.cmd === VFIO_DEVICE_RESET.nr) return plainReply(yield* reset(device));
    const found = deviceIoctlRows.get(args.cmd);
    if (!found || (file.viaGroup && cdevOnly.has(args.cmd))) return failed('ENOTTY');
    const answer = answerIoctl(found, device.profile, { device, file }, req, args);
    return isOp(answer) ? yield* answer : answer;
  }

  private *pread(req: Request, token: string, offset: number, length: number): Op<Result<Uint8Array>> {
    const file = this.tokens.get(token, req.from);
    if (!file?.readable) return fail('EBADF');
    yield* lockRead(file.inUse);
    return file.hasAccess ? yield* readRegion(this.device!, offset, length) : fail('EINVAL');
  }

  private *pwrite(req: Request, token: string, offset: number, data: Uint8Array): Op<Result<number>> {
    const file = this.tokens.get(token, req.from);
    if (!file?.writable) return fail('EBADF');
    yield* lockRead(file.inUse);
    return file.hasAccess ? yield* writeRegion(this.device!, offset, data) : fail('EINVAL');
  }

  private *mapRegion(req: Request, { token, ...wanted }: ArgsOf<typeof deviceApi.mapRegion>): Op<Result<number>> {
    const file = this.tokens.get(token, req.from);
    if (!file) return fail('EBADF');
    yield* lockRead(file.inUse);
    return file.hasAccess ? yield* mapRegion(this.device!, req.from, wanted) : fail('EINVAL');
  }

  encode(w: ByteWriter, view: View): void {
    w.bool(this.device !== undefined);
    if (!this.device) return this.encodeCounters(w, view);
    functionFacts.write(w, this.device.facts);
    encodeShared(w, this.device, view);
    w.list(this.filesFor(view), (file) => encodeFile(w, file, view));
    this.device.encode(w, view);
    this.encodeCounters(w, view);
    if (view === 'snapshot') this.tokens.encode(w);
  }

  /** As they were opened; in the order of what they are where the order of opens must not tell. */
  private filesFor(view: View): CdevFile[] {
    const rank = (f: CdevFile): number => (f.binding ? 4 : 0) + (f.viaGroup ? 8 : 0) + f.accessMode;
    const files = [...this.files.values()];
    return view === 'snapshot' ? files : files.sort((a, b) => rank(a) - rank(b));
  }

  private encodeCounters(w: ByteWriter, view: View): void {
    if (view === 'snapshot') w.num(this.nextFile);
  }

  decode(r: ByteReader): void {
    if (r.bool()) {
      this.device = new VfioDevice(functionFacts.read(r));
      decodeShared(r, this.device);
      for (const file of r.list(() => decodeFile(r))) this.restore(this.device, file);
      this.device.decode(r);
    }
    this.nextFile = r.num();
    if (this.device) this.tokens.decode(r, (id) => this.files.get(id)!);
  }

  private restore(device: VfioDevice, file: CdevFile): void {
    this.files.set(file.id, file);
    if (file.binding) device.bound = file;
    if (file.viaGroup && device.shared) device.shared.files++;
  }

  check(): string[] {
    const broken = this.device?.check() ?? [];
    const bound = [...this.files.values()].filter((f) => f.binding);
    if (bound.length > 1) broken.push(`I16: ${bound.length} files of one function have access`);
    const shared = [...this.files.values()].filter((f) => f.viaGroup).length;
    if ((this.device?.shared?.files ?? 0) !== shared)
      broken.push(`A3.6: ${shared} files are open through the group, ${this.device?.shared?.files ?? 0} are counted`);
    if (shared > 0 && bound.length > 0) broken.push('A3.1: open through the group and bound through the cdev');
    if (this.device?.bound !== bound[0])
      broken.push('I16: the function is enabled for another file than the one with access');
    for (const f of this.files.values())
      if (f.attached !== undefined && !f.binding) broken.push(`I18: file ${f.id} is attached and not bound`);
    if (this.tokens.size < this.files.size) broken.push('I27: a file is open that nobody holds');
    return broken;
  }

  figures(): Record<string, number> {
    const { device, files } = this;
    return { files: files.size, bound: device?.isOpen ? 1 : 0, heldEventfds: device?.irqs.heldEventfds ?? 0 };
  }

  describe(): string[] {
    if (!this.device) return ['no driver bound'];
    const files = [...this.files.values()].map((f) => {
      const state = f.viaGroup ? 'through the group' : f.binding ? `bound as device ${f.binding.device}` : 'not bound';
      return `file ${f.id} ${state}${f.attached === undefined ? '' : ` attached to HWPT ${f.attached}`}`;
    });
    return [...this.device.describe(), ...files];
  }
}

const plainReply = (r: Result<number>): IoctlReply =>
  r.ok ? { errno: 0, ret: r.value, writes: [], file: undefined } : failed(r.errno);

/** A context's number and a file's are ours alone; a client sees the ids of the device and of the HWPT. */
function encodeFile(w: ByteWriter, file: CdevFile, view: View): void {
  if (view === 'snapshot') w.num(file.id);
  w.u8(file.accessMode);
  w.bool(file.viaGroup);
  w.bool(file.binding !== undefined);
  if (file.binding) {
    if (view === 'snapshot') w.num(file.binding.context);
    w.u32(file.binding.device);
  }
  w.bool(file.attached !== undefined);
  if (file.attached !== undefined) w.u32(file.attached);
  w.list(
    [...file.pasids].sort((a, b) => a - b),
    (pasid) => w.u32(pasid),
  );
}

function decodeFile(r: ByteReader): CdevFile {
  const file = new CdevFile(r.num(), r.u8(), r.bool());
  if (r.bool()) file.binding = { context: r.num(), device: r.u32() };
  if (r.bool()) file.attached = r.u32();
  r.list(() => file.pasids.add(r.u32()));
  return file;
}
