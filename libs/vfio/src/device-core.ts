/**
 * The core of the device service: one device, from the moment a vfio driver is bound to it until it is unbound: a PCI
 * function with vfio-pci, or a mediated device.
 *
 * Words: a *file* is one open of the device, of its cdev or through its group; it may be held under several capabilities
 * (grants) and is *released* when the last of them is closed.
 * Rule (E9, I46): release quiets the function first, then detaches it, then leaves the iommufd, which gives up DMA
 * ownership, and only then lets go of the group. Nothing of it is skipped, whoever closes and for whatever reason.
 */
import {
  type Address,
  type ArgsOf,
  type ByteReader,
  type ByteWriter,
  call,
  CAP_SYS_RAWIO,
  type Core,
  deviceApi,
  deviceOf,
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
  type MdevFacts,
  mdevFacts,
  methodTable,
  type NewFile,
  type Op,
  PAGES,
  pagesApi,
  type Request,
  Signal,
  streamApi,
  type Surroundings,
  sysApi,
  time,
  unlock,
  type VdpaFacts,
  vdpaFacts,
  type View,
  waitUntil,
} from '@vfiolab/core';
import { fail, isKernelProfile, ok, type Result, VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { CdevFile, decodeFile, encodeFile, filesFor, O_ACCMODE, O_RDWR, type Binding } from './cdev-file.js';
import { closeShared, decodeShared, encodeShared, openShared } from './group-open.js';
import { joinHotReset } from './hot-reset.js';
import type { CommonDevice, Driver } from './common-device.js';
import { cdevOnly } from './common-ioctls.js';
import type { DmabufFile } from './dmabuf.js';
import { MadeFiles } from './made-files.js';
import { whatIsWrong, whatIsWrongWithMdev } from './facts-check.js';
import { checkFiles, describeFile, deviceNow, type DeviceNow, lostByMigration } from './inspect.js';
import { ioctlOnSession, READY, readSession, writeSession } from './migration/data-fd.js';
import type { Session } from './migration/session.js';
import { isMdevDriver, mdevDriver } from './mdev-driver.js';
import { DeviceFaults } from './faults/device-faults.js';
import { ofFunction } from './function-calls.js';
import { ofVms, someAbandoned } from './held-files.js';
import { PciDriver } from './pci-driver.js';
import { answer2010, domainOf, knownIn2010, leaveDomain } from './uiommu.js';
import { VdpaDevice, VdpaDriver } from './vdpa-device.js';
import { VfioDevice } from './vfio-device.js';

type IoctlReply = ReturnType<typeof failed>;

const FILE_KIND = 'device';
const NOTHING = new Uint8Array(0);
/** A user who does not let go is asked again after so long. */
const REQUEST_EVERY_MS = 10_000;
const NODE_2010 = '/dev/vfio';
/** Kinds of drivers in a snapshot. */
const [NO_DRIVER, VFIO_PCI, MDEV, VDPA] = [0, 1, 2, 3] as const;

export class DeviceCore implements Core {
  readonly service = 'device';
  private driver: Driver | undefined;
  /** Unbinding has begun: the node is gone, open files live on (semantics A3.9). */
  private removing = false;
  private readonly tokens = new FileTable<CdevFile>();
  /** Files that are not released yet. */
  private readonly files = new Map<number, CdevFile>();
  private nextFile = 1;
  private readonly made = new MadeFiles();
  private readonly faults = new DeviceFaults();
  /** groups has been told that there are such files, though there is no driver. */
  private lingers = false;
  /** What the device stores, while no driver is there to hold it. */
  private media: Uint8Array = NOTHING;
  private readonly released = new Signal();
  private surroundings: Surroundings | undefined;

  readonly methods = methodTable(
    implement(deviceApi, {
      probe: (_req, facts) => this.probe(facts),
      openInGroup: (req, { client, context }) => this.openInGroup(req, client, context),
      probeMdev: (_req, facts) => this.probeMdev(facts),
      probeVdpa: (_req, facts) => this.probeVdpa(facts),
      domainOf: (req, { token, client }) => this.domainOf(req.from, token, client),
      mapRegion: (req, args) => this.mapRegion(req, args),
      remove: () => this.remove(),
      hotReset: (req, { rest }) => this.hotReset(req.from, rest),
      ...ofFunction(() => this.pci),
      ...ofVms(this.tokens, this.made, this.files, (file) => this.unheld(file, file.closed)),
      dmaUnmap: (_req, { first, last }) => this.device?.dmaUnmap?.(first, last),
      dmabufOpen: (_req, args) => this.dmabufOpen(args.token, args.client, args.start, args.length),
      load: (req, { token, offset, length }) => this.mapped(req, token, (driver) => driver.load(offset, length)),
      store: (req, { token, offset, data }) => this.mapped(req, token, (driver) => driver.store(offset, data)),
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
    implement(streamApi, {
      read: (req, { token, length }) => this.onSession(req, token, (s) => readSession(this.device, s, length)),
      write: (req, { token, data }) => this.onSession(req, token, (s) => writeSession(this.device, s, data)),
      poll: (req, { token }) => this.onSession(req, token, () => ok(READY)),
    }),
  );

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  /** EBUSY: bound already. EINVAL: no function that can be driven. */
  private probe(facts: FunctionFacts): Result<void> {
    if (this.driver) return fail('EBUSY');
    if (whatIsWrong(facts) !== undefined) return fail('EINVAL');
    const device = new VfioDevice(facts, this.made, this.faults);
    if (this.media.length > 0) device.model.putMedia?.(this.media);
    this.media = NOTHING;
    this.driver = new PciDriver(device);
    return ok(undefined);
  }

  /** EBUSY: bound already. EINVAL: no such device. */
  private probeMdev(facts: MdevFacts): Result<void> {
    if (this.driver) return fail('EBUSY');
    if (whatIsWrongWithMdev(facts) !== undefined) return fail('EINVAL');
    this.driver = mdevDriver(facts);
    return ok(undefined);
  }

  /** EBUSY: there is one already. EINVAL: no such kernel. */
  private probeVdpa(facts: VdpaFacts): Result<void> {
    if (this.driver) return fail('EBUSY');
    if (!isKernelProfile(facts.profile)) return fail('EINVAL');
    this.driver = new VdpaDriver(new VdpaDevice(facts));
    return ok(undefined);
  }

  private get device(): CommonDevice | undefined {
    return this.driver?.device;
  }

  /** The function, when it is one. */
  private get pci(): VfioDevice | undefined {
    return this.driver instanceof PciDriver ? this.driver.device : undefined;
  }

  /** Asks the user to let go, again and again, until every file is released (semantics D7; traces b054, b056, b096). */
  private *remove(): Op<void> {
    const { driver } = this;
    if (!driver || this.removing) return;
    this.removing = true;
    yield* driver.request();
    let again = (yield* time()) + REQUEST_EVERY_MS;
    while (this.files.size > 0) {
      if (yield* waitUntil(this.released, again)) continue;
      yield* driver.request();
      again = (yield* time()) + REQUEST_EVERY_MS;
    }
    this.removing = false;
    this.media = this.pci?.model.takeMedia?.() ?? NOTHING;
    this.driver = undefined;
    // What is put into the slot next is new.
    if (this.faults.gone) Object.assign(this.faults, new DeviceFaults());
    if (this.made.size === 0 || this.lingers) return;
    yield* call(GROUPS, groupsApi.filesLeft, { open: true });
    this.lingers = true;
    yield* this.madeClosed();
  }

  /** A file that the device made was closed. Without a driver somebody else has to know that there are any. */
  private *madeClosed(): Op<void> {
    if (!this.lingers || this.made.size > 0) return;
    this.lingers = false;
    yield* call(GROUPS, groupsApi.filesLeft, { open: false });
  }

  /** EPERM: only groups begins a hot reset, and functions hand it on. */
  private *hotReset(from: Address, rest: readonly string[]): Op<Result<void>> {
    if (from !== GROUPS && deviceOf(from) === undefined) return fail('EPERM');
    return this.pci ? yield* joinHotReset(this.pci, rest) : fail('ENODEV');
  }

  /** EBADF; EINVAL: the file is no stream. */
  private onSession<T>(req: Request, token: string, act: (session: Session) => T): T | Result<never> {
    const made = this.made.get(token, req.from);
    if (made?.kind === 'migration') return act(made.session);
    return fail((made ?? this.tokens.get(token, req.from)) ? 'EINVAL' : 'EBADF');
  }

  /** EBADF: no dma-buf; else as it answers. */
  private dmabufOpen(token: string, client: Address, start: bigint, length: bigint): ReturnType<DmabufFile['open']> {
    const file = this.made.get(token, client);
    if (file?.kind !== 'dmabuf') return fail('EBADF');
    return file.open(start, length, this.pci?.lends ?? false);
  }

  /**
   * Any number of opens; exclusive is only the bind (semantics A3.2). EPERM: the device has no IOMMU, and the client not the
   * right to go without (A4.1).
   */
  private *open(req: Request, path: string, flags: number): Op<Result<NewFile>> {
    if (!this.hasNode(path)) return fail('ENODEV');
    if (this.device!.noiommu) {
      const caps = yield* call(PAGES, pagesApi.capabilities, { client: req.from });
      if (!(caps & CAP_SYS_RAWIO)) return fail('EPERM');
      if (!this.hasNode(path)) return fail('ENODEV');
    }
    const file = new CdevFile(this.nextFile, flags & O_ACCMODE, false, this.isNodeOf2010(path));
    const token = this.tokens.open(req.from, file, req.entropy);
    if (token === undefined) return fail('EMFILE');
    this.nextFile++;
    this.files.set(file.id, file);
    return ok({ token, kind: FILE_KIND });
  }

  private hasNode(path: string): boolean {
    return !this.removing && (this.device?.node === path || this.isNodeOf2010(path));
  }

  private isNodeOf2010(path: string): boolean {
    return path === `${NODE_2010}${this.pci?.facts.minor}`;
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
    if (this.surroundings?.isGone(to)) return fail('ESRCH');
    const made = this.made.grant(req, token, to);
    if (made) return made;
    const file = this.tokens.get(token, req.from);
    if (!file) return fail('EBADF');
    const granted = this.tokens.open(to, file, req.entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: FILE_KIND });
  }

  private *close(req: Request, token: string): Op<Result<void>> {
    if (this.made.close(token, req.from)) {
      yield* this.madeClosed();
      return ok(undefined);
    }
    const closed = this.tokens.close(token, req.from);
    if (!closed) return fail('EBADF');
    if (closed.last) yield* this.unheld(closed.file, true);
    return ok(undefined);
  }

  /** Released when neither a client nor a VM has it. */
  private *unheld(file: CdevFile, closed: boolean): Op<void> {
    file.closed = closed;
    if (closed && file.holders === 0) yield* this.release(file);
  }

  private *clientGone(req: Request, client: Address): Op<void> {
    if (req.from !== LAB) return;
    this.made.closeAll(client);
    const last: CdevFile[] = [];
    for (const token of this.tokens.of(client)) {
      const closed = this.tokens.close(token, client)!;
      if (closed.last) last.push(closed.file);
    }
    this.surroundings?.forget(client);
    yield* this.madeClosed();
    for (const file of last) yield* this.unheld(file, true);
  }

  /** Waits for the calls on the file, then undoes what it did in the order of E9. An open that failed has left nothing. */
  private *release(file: CdevFile): Op<void> {
    yield* lockWrite(file.inUse);
    if (!this.files.has(file.id)) return;
    const device = this.device!;
    if (file.viaGroup) yield* closeShared(device);
    else if (file.isBound) yield* this.unbind(device, file);
    this.forget(file);
  }

  private forget(file: CdevFile): void {
    this.files.delete(file.id);
    this.released.raise();
  }

  private *unbind(device: CommonDevice, file: CdevFile): Op<void> {
    yield* lockWrite(device.set);
    yield* device.disable();
    if (file.domain !== undefined) yield* leaveDomain(device, file);
    else yield* this.leaveIommufd(device, file, file.binding!);
    yield* unlock(device.set);
  }

  private *leaveIommufd(device: CommonDevice, file: CdevFile, binding: Binding): Op<void> {
    if (file.attached !== undefined) yield* call(IOMMUFD, iommufdApi.detach, binding);
    file.attached = undefined;
    file.pasids.clear();
    yield* call(IOMMUFD, iommufdApi.unbind, binding);
    file.binding = undefined;
    device.bound = undefined;
    yield* call(GROUPS, groupsApi.cdevRelease, { bdf: device.name });
  }

  private *ioctl(req: Request, args: IoctlArgs): Op<IoctlReply> {
    const made = this.made.get(args.token, req.from);
    if (made?.kind === 'migration') return yield* ioctlOnSession(this.device, made.session, req, args);
    const file = this.tokens.get(args.token, req.from);
    if (!file) return failed(made ? 'ENOTTY' : 'EBADF');
    yield* lockRead(file.inUse);
    const driver = this.driver!;
    const old = file.of2010 ? yield* this.ioctlOf2010(file, req, args) : undefined;
    if (old) return old;
    if (file.hasAccess) yield* driver.wakeUp();
    else if (args.cmd !== VFIO_DEVICE_BIND_IOMMUFD.nr) return failed('EINVAL');
    if (args.cmd === VFIO_DEVICE_RESET.nr) return plainReply(yield* driver.reset());
    if (file.viaGroup && cdevOnly.has(args.cmd)) return failed('ENOTTY');
    const answer = driver.ioctl({ file, made: this.made }, req, args);
    return isOp(answer) ? yield* answer : answer;
  }

  /** Undefined: the call is one of today's too. */
  private *ioctlOf2010(file: CdevFile, req: Request, args: IoctlArgs): Op<IoctlReply | undefined> {
    const answer = yield* answer2010({ device: this.device!, file }, req, args);
    if (answer) return answer;
    if (!file.hasAccess) return failed('EINVAL');
    return knownIn2010.has(args.cmd) ? undefined : failed('ENOTTY');
  }

  /** EBADF: no open node of 2010; else as for its own MAP. */
  private *domainOf(from: Address, token: string, client: Address): Op<Result<{ domain: number }>> {
    const file = deviceOf(from) === undefined ? undefined : this.tokens.get(token, client);
    if (!file?.of2010) return fail('EBADF');
    yield* lockRead(file.inUse);
    return yield* domainOf(this.device!, file, client);
  }

  private *pread(req: Request, token: string, offset: number, length: number): Op<Result<Uint8Array>> {
    if (this.made.get(token, req.from)) return fail('ESPIPE');
    const file = this.tokens.get(token, req.from);
    if (!file?.readable) return fail('EBADF');
    yield* lockRead(file.inUse);
    if (!file.hasAccess) return fail('EINVAL');
    yield* this.driver!.wakeUp();
    return yield* this.driver!.read(offset, length);
  }

  private *pwrite(req: Request, token: string, offset: number, data: Uint8Array): Op<Result<number>> {
    if (this.made.get(token, req.from)) return fail('ESPIPE');
    const file = this.tokens.get(token, req.from);
    if (!file?.writable) return fail('EBADF');
    yield* lockRead(file.inUse);
    if (!file.hasAccess) return fail('EINVAL');
    yield* this.driver!.wakeUp();
    return yield* this.driver!.write(offset, data, req.from);
  }

  /** What is mapped keeps its file open. EBADF; EIO: the file has no access any more. */
  private *mapped<T>(req: Request, token: string, access: (driver: Driver) => Op<Result<T>>): Op<Result<T>> {
    const file = this.tokens.get(token, req.from);
    if (!file) return fail('EBADF');
    yield* lockRead(file.inUse);
    return file.hasAccess ? yield* access(this.driver!) : fail('EIO');
  }

  private *mapRegion(req: Request, { token, ...wanted }: ArgsOf<typeof deviceApi.mapRegion>): Op<Result<number>> {
    const file = this.tokens.get(token, req.from);
    if (!file) return fail('EBADF');
    yield* lockRead(file.inUse);
    return file.hasAccess ? yield* this.driver!.map(req.from, wanted) : fail('EINVAL');
  }

  encode(w: ByteWriter, view: View): void {
    const { driver } = this;
    w.u8(!driver ? NO_DRIVER : driver instanceof PciDriver ? VFIO_PCI : driver instanceof VdpaDriver ? VDPA : MDEV);
    if (!driver) return this.encodeCounters(w, view);
    if (driver instanceof PciDriver) functionFacts.write(w, driver.device.facts);
    else if (isMdevDriver(driver)) mdevFacts.write(w, driver.device.facts);
    else if (driver instanceof VdpaDriver) vdpaFacts.write(w, driver.device.facts);
    encodeShared(w, driver.device, view);
    w.list(filesFor(this.files.values(), view), (file) => encodeFile(w, file, view));
    driver.encode(w, view);
    this.encodeCounters(w, view);
    if (view === 'snapshot') this.tokens.encode(w);
  }

  private encodeCounters(w: ByteWriter, view: View): void {
    if (view !== 'snapshot') return;
    w.num(this.nextFile);
    w.bool(this.lingers);
    w.bytes(this.media);
    this.faults.encode(w);
    this.made.encode(w);
  }

  decode(r: ByteReader): void {
    const kind = r.u8();
    if (kind === VFIO_PCI) this.driver = new PciDriver(new VfioDevice(functionFacts.read(r), this.made, this.faults));
    else if (kind === MDEV) this.driver = mdevDriver(mdevFacts.read(r));
    else if (kind === VDPA) this.driver = new VdpaDriver(new VdpaDevice(vdpaFacts.read(r)));
    if (this.driver) {
      const { device } = this.driver;
      decodeShared(r, device);
      for (const file of r.list(() => decodeFile(r))) this.restore(device, file);
      this.driver.decode(r);
    }
    this.nextFile = r.num();
    this.lingers = r.bool();
    this.media = r.bytes().slice();
    this.faults.decode(r);
    this.made.decode(r, this.device?.migration?.session);
    if (this.device) this.tokens.decode(r, (id) => this.files.get(id)!);
  }

  private restore(device: CommonDevice, file: CdevFile): void {
    this.files.set(file.id, file);
    if (file.isBound) device.bound = file;
    if (file.viaGroup && device.shared) device.shared.files++;
  }

  check(): string[] {
    const files = [...this.files.values()];
    const broken = this.driver ? [...this.driver.check(), ...checkFiles(this.driver.device, files)] : [];
    broken.push(...this.faults.check());
    if (!this.driver && this.made.size > 0 && !this.lingers)
      broken.push('I27: nobody knows of the files that are left');
    if (someAbandoned(files, this.tokens.size)) broken.push('I27: a file is open that nobody holds');
    return broken;
  }

  /** Of a PCI function that a vfio driver is bound to. */
  now(): DeviceNow | undefined {
    return this.pci && deviceNow(this.pci);
  }

  lostByMigration(): string[] {
    return this.pci ? lostByMigration(this.pci) : [];
  }

  /** Has a file of the cdev access, and is the device open through its group? Undefined: no driver is bound. */
  opens(): { readonly bound: boolean; readonly shared: boolean } | undefined {
    const device = this.driver?.device;
    return device && { bound: device.bound !== undefined, shared: device.shared !== undefined };
  }

  figures(): Record<string, number> {
    const { driver, files } = this;
    return {
      files: files.size,
      madeFiles: this.made.size,
      bound: driver?.device.isOpen ? 1 : 0,
      heldEventfds: driver?.heldEventfds ?? 0,
    };
  }

  describe(): string[] {
    const faults = this.faults.describe();
    const lines = faults === '' ? [] : [`faults: ${faults}`];
    if (!this.driver) return ['no driver bound', ...lines];
    return [...this.driver.describe(), ...lines, ...[...this.files.values()].map(describeFile)];
  }
}

const plainReply = (r: Result<number>): IoctlReply =>
  r.ok ? { errno: 0, ret: r.value, writes: [], file: undefined } : failed(r.errno);
