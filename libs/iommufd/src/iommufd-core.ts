/**
 * Core of the iommufd service.
 *
 * Rule: an ioctl and the last close exclude each other (a running call holds its file, as fdget does); a context goes when
 * its file is closed and no device is bound to it.
 */
import { fail, isKernelProfile, type KernelProfile, ok, refuseUnknown, type Result } from '@vfiolab/uapi';
import {
  type Address,
  answerIoctl,
  type ArgsOf,
  type ByteReader,
  type ByteWriter,
  type Core,
  failed,
  implement,
  type IoctlArgs,
  type IoctlReply,
  iommufdApi,
  isClient,
  isOp,
  LAB,
  lockRead,
  lockWrite,
  type MethodTable,
  methodTable,
  type NewFile,
  type Op,
  type Request,
  RLIMIT_MM,
  RLIMIT_USER,
  SegmentMemory,
  streamApi,
  type Surroundings,
  sysApi,
  unlock,
  type View,
} from '@vfiolab/core';
import { type Access, destroyAccess, leaveIoas } from './access.js';
import { ofDrivers } from './driver-access.js';
import { changeIoas, changePt, detach } from './attach.js';
import { bindAccess, bindDevice, deviceIds, unbindDevice } from './bind.js';
import { checkContext } from './check.js';
import { type Claims, claimsOf } from './claims.js';
import { bindAccessForGroup, bindForGroup, holdForGroup, openNoiommu } from './compat/group.js';
import { answerPlain } from './compat/plain.js';
import { type BoundDevice, Context, isAccess, isDevice } from './context.js';
import { describeContext } from './describe.js';
import { onQueue, type Queue, readAt, writeAt } from './file-io.js';
import { takeGuestEvents, takePageRequest } from './device-reports.js';
import { RID } from './fault-queue.js';
import type { IommufdFile } from './ioctl/call.js';
import { destroyObject } from './ioctl/destroy.js';
import { iommufdTable } from './ioctl-table.js';
import { type OpenFile, OpenFiles } from './open-files.js';
import { attachPasid, detachPasid } from './pasid.js';
import { isOf, PeerStores } from './peer-memory.js';
import { flagsOf, type ProfileFlags } from './profile-flags.js';
import { emptyEverywhere } from './revoke.js';
import { Dmabufs } from './selftest/dmabuf.js';
import { decodeContext, encodeContext } from './state.js';
import { KnownStores } from './store-state.js';
import { mapWindow, type Place, unmapWindow } from './window.js';

interface Bound {
  readonly context: number;
  readonly device: number;
}

/** The two names of an iommufd, with whom its pins are charged to: as the VFIO container it charges as that always did (B3.1). */
const RLIMIT_MODES: ReadonlyMap<string, number> = new Map([
  ['/dev/iommu', RLIMIT_USER],
  ['/dev/vfio/vfio', RLIMIT_MM],
]);

export class IommufdCore implements Core {
  readonly service = 'iommufd';
  readonly methods: MethodTable;
  private readonly files = new OpenFiles();
  private readonly contexts = new Map<number, Context>();
  private readonly dmabufs = new Dmabufs();
  private readonly peers = new PeerStores();
  private nextContext = 1;
  /** The kernel's page in bytes. */
  private page = 4096n;
  private flags: ProfileFlags;
  private surroundings!: Surroundings;

  constructor(profile: KernelProfile = '6.12') {
    this.flags = flagsOf(profile);
    this.methods = methodTable(
      implement(sysApi, {
        open: (req, { path }) => this.open(req, path),
        close: (req, { token }) => this.close(req.from, token),
        ioctl: (req, args) => this.ioctl(req, args),
        ioctlFile: (req, args) => this.ioctl(req, args),
        pread: (req, { token, offset, length }) => readAt(this.files.get(token, req.from), offset, length),
        pwrite: (req, { token, offset, data }) => writeAt(this.files.get(token, req.from), offset, data),
        grant: (req, { token, to }) => this.grant(req, token, to),
        clientGone: (req, { client }) => this.clientGone(req.from, client),
      }),
      implement(streamApi, {
        read: (req, { token, length }) => onQueue(this.files.get(token, req.from), (queue) => queue.read(length)),
        write: (req, { token, data }) => onQueue(this.files.get(token, req.from), (queue) => queue.write(data)),
        poll: (req, { token }) => onQueue(this.files.get(token, req.from), (queue) => ok(queue.poll())),
      }),
      implement(iommufdApi, {
        setup: (_req, { profile: name, pageShift }) => this.setup(name, pageShift ?? 12),
        bind: (_req, args) => this.bind(args),
        unbind: (_req, args) => this.unbind(args),
        attach: (_req, args) => this.attach(args, args.pt, args.replace),
        detach: (_req, args) => this.detach(args),
        compatHold: (_req, args) => this.compatHold(args.token, args.client, args.noiommu),
        compatDrop: (_req, args) => this.compatDrop(args.context),
        compatBind: (_req, args) => this.compatBind(args),
        compatNoiommu: (_req, args) => this.compatNoiommu(args.context, args.client),
        mmap: (req, { token, ...place }) => this.mmap(req, token, place),
        deafen: (req, { token }) => deafen(this.files.get(token, req.from)),
        pasidAttach: (_req, args) => this.pasidAttach(args),
        pasidDetach: (_req, args) => this.pasidDetach(args, args.pasid),
        pageRequest: (_req, args) => takePageRequest(this.contexts.values(), args),
        guestEvents: (_req, { bdf, events }) => takeGuestEvents(this.contexts.values(), bdf, events),
        deviceIds: (_req, { context, bdfs }) => deviceIds(this.contexts.get(context), bdfs),
        ...ofDrivers((bound) => this.accessOf(bound)),
        dmabufRevoke: (req) => this.revoke(req.from),
      }),
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  private setup(profile: string, pageShift: number): Result<void> {
    if (!isKernelProfile(profile)) return fail('EINVAL');
    this.flags = flagsOf(profile);
    this.page = 1n << BigInt(pageShift);
    return ok(undefined);
  }

  private open(req: Request, path: string): Result<NewFile> {
    const rlimitMode = RLIMIT_MODES.get(path);
    if (rlimitMode === undefined) return fail('ENXIO');
    const context = new Context(this.nextContext, this.page);
    context.rlimitMode = rlimitMode;
    const opened = this.files.open(req, { kind: 'iommufd', context });
    if (opened.ok) this.contexts.set(this.nextContext++, context);
    return opened;
  }

  private *close(client: string, token: string): Op<Result<void>> {
    const closed = this.files.close(token, client);
    if (!closed.ok) return closed;
    if (closed.value) yield* this.lastClose(closed.value);
    return ok(undefined);
  }

  private *lastClose(file: OpenFile): Op<void> {
    if (file.kind === 'dmabuf') return file.object.closeFile();
    const { context } = file;
    yield* lockWrite(context.running);
    if (file.kind === 'iommufd') context.fileOpen = false;
    else if (file.kind === 'iommufd-access') yield* destroyAccess(context, file.object);
    else if (file.kind === 'iommufd-window') unmapWindow(file.object);
    else closeQueue(file.object);
    if (file.kind !== 'iommufd') context.openFiles--;
    if (context.abandoned) yield* this.release(context);
    yield* unlock(context.running);
  }

  /** Destroys what nothing refers to, leaf first, until nothing is left (semantics E4). */
  private *release(context: Context): Op<void> {
    for (;;) {
      const leaf = context.objects.all().find((o) => o.users === 1);
      if (!leaf) break;
      yield* destroyObject(context, leaf);
    }
    this.contexts.delete(context.id);
  }

  private ioctl(req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    const file = this.files.get(args.token, req.from);
    if (!file) return failed('EBADF');
    if (file.kind !== 'iommufd') return failed('ENOTTY');
    const { context } = file;
    const { files, flags, contexts, dmabufs, peers } = this;
    const called = { context, files, flags, contexts, dmabufs, peers };
    const answer = answerPlain({ context, client: req.from }, args.cmd, args.arg);
    if (answer === undefined) return this.withStruct(called, req, args);
    return isOp(answer) ? holdingFile(context, answer as Op<IoctlReply>) : answer;
  }

  private withStruct(called: IommufdFile, req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    const found = iommufdTable.get(args.cmd);
    if (!found) return failed(refuseUnknown(args.cmd, BigInt(args.arg), new SegmentMemory(args.segments)));
    return answerIoctl(found, this.flags.profile, called, req, args, called.context.running);
  }

  private mmap(req: Request, token: string, place: Place): Result<NewFile> {
    const file = this.files.get(token, req.from);
    if (!file) return fail('EBADF');
    if (file.kind !== 'iommufd' || !this.flags.windows) return fail('ENODEV');
    return mapWindow(this.files, req, file.context, place);
  }

  private grant(req: Request, token: string, to: string): Result<NewFile> {
    if (!this.files.get(token, req.from)) return fail('EBADF');
    if (!isClient(to)) return fail('EINVAL');
    return this.surroundings.isGone(to) ? fail('ESRCH') : this.files.grant(req, token, to);
  }

  private *clientGone(from: string, client: string): Op<void> {
    if (from !== LAB) return;
    // First: while files are closed nothing new may come to the client.
    this.surroundings.forget(client);
    for (const token of this.files.of(client)) yield* this.close(client, token);
  }

  private *bind({ token, client, bdf, emulated }: ArgsOf<typeof iommufdApi.bind>): Op<Result<Bound>> {
    const file = this.files.get(token, client);
    if (!file) return fail('EBADF');
    if (file.kind !== 'iommufd') return fail('EBADFD');
    const { context } = file;
    yield* lockRead(context.running);
    const bound = emulated ? bindAccess(context, bdf) : yield* bindDevice(context, bdf);
    return bound.ok ? ok({ context: context.id, device: bound.value.id }) : bound;
  }

  private compatHold(token: string, client: string, noiommu: boolean): Result<{ context: number }> {
    const file = this.files.get(token, client);
    if (!file) return fail('EBADF');
    return file.kind === 'iommufd' ? holdForGroup(file.context, noiommu) : fail('EBADFD');
  }

  private *compatDrop(id: number): Op<void> {
    const context = this.contexts.get(id);
    if (!context) return;
    context.groups--;
    yield* this.releaseAbandoned(context);
  }

  private *compatBind({ context: id, bdf, emulated }: ArgsOf<typeof iommufdApi.compatBind>): Op<Result<Bound>> {
    const context = this.contexts.get(id);
    if (!context) return fail('ENODEV');
    yield* lockRead(context.running);
    const bound = emulated ? yield* bindAccessForGroup(context, bdf) : yield* bindForGroup(context, bdf);
    return bound.ok ? ok({ context: id, device: bound.value.id }) : bound;
  }

  private *compatNoiommu(id: number, client: string): Op<Result<void>> {
    const context = this.contexts.get(id);
    return context ? yield* openNoiommu(context, client) : fail('ENODEV');
  }

  private *unbind(bound: Bound): Op<void> {
    const found = this.find(bound);
    if (!found) return;
    const { context, user } = found;
    if (isAccess(user)) yield* destroyAccess(context, user);
    else yield* unbindDevice(context, user);
    yield* this.releaseAbandoned(context);
  }

  /** Calls that still run on the context end first. */
  private *releaseAbandoned(context: Context): Op<void> {
    if (!context.abandoned) return;
    yield* lockWrite(context.running);
    if (this.contexts.get(context.id) === context) yield* this.release(context);
  }

  private *attach(bound: Bound, pt: number, replacing?: boolean): Op<Result<{ pt: number }>> {
    const found = this.find(bound);
    if (!found) return fail('ENODEV');
    yield* lockRead(found.context.running);
    const { context, user } = found;
    const moved = isAccess(user) ? yield* changeIoas(context, user, pt) : yield* changePt(context, user, pt, replacing);
    return moved.ok ? ok({ pt: moved.value }) : moved;
  }

  /** PASID 0 is the attachment without a PASID. */
  private *pasidAttach({
    pasid,
    pt,
    replace,
    ...bound
  }: ArgsOf<typeof iommufdApi.pasidAttach>): Op<Result<{ pt: number }>> {
    if (pasid === RID) return yield* this.attach(bound, pt, replace);
    const found = this.findDevice(bound);
    if (!found) return fail('ENODEV');
    yield* lockRead(found.context.running);
    const moved = yield* attachPasid(found.context, found.device, pasid, pt, replace);
    return moved.ok ? ok({ pt: moved.value }) : moved;
  }

  private *pasidDetach(bound: Bound, pasid: number): Op<void> {
    if (pasid === RID) return yield* this.detach(bound);
    const found = this.findDevice(bound);
    if (found) yield* detachPasid(found.context, found.device, pasid);
  }

  private *detach(bound: Bound): Op<void> {
    const found = this.find(bound);
    if (!found) return;
    if (isAccess(found.user)) yield* leaveIoas(found.user);
    else yield* detach(found.context, found.user);
  }

  /** A function takes back what it has lent (semantics B8.3). */
  private *revoke(device: Address): Op<void> {
    yield* lockWrite(this.peers.asking);
    this.peers.revoke(device);
    yield* unlock(this.peers.asking);
    yield* emptyEverywhere(this.contexts.values(), (store) => isOf(store, device));
  }

  /** What a driver has of a context. */
  private find({
    context: contextId,
    device: id,
  }: Bound): { context: Context; user: BoundDevice | Access } | undefined {
    const context = this.contexts.get(contextId);
    const user = context?.objects.get(id);
    return context && user && (isDevice(user) || isAccess(user)) ? { context, user } : undefined;
  }

  private findDevice(bound: Bound): { context: Context; device: BoundDevice } | undefined {
    const found = this.find(bound);
    return found && isDevice(found.user) ? { context: found.context, device: found.user } : undefined;
  }

  /** What a mediated device has. */
  private accessOf(bound: Bound): Access | undefined {
    const user = this.find(bound)?.user;
    return user && isAccess(user) ? user : undefined;
  }

  encode(w: ByteWriter, view: View): void {
    const contexts = [...this.contexts.values()].sort((a, b) => a.id - b.id);
    this.dmabufs.encode(w, view);
    if (view === 'snapshot') w.num(this.peers.nextStore);
    w.list(contexts, (c) => encodeContext(w, c, view));
    if (view === 'meaning') return;
    w.str(this.flags.profile);
    w.u64(this.page);
    w.num(this.nextContext);
    this.files.encode(w);
  }

  decode(r: ByteReader): void {
    this.dmabufs.decode(r);
    this.peers.nextStore = r.num();
    const stores = new KnownStores(this.dmabufs, this.peers);
    for (const c of r.list(() => decodeContext(r, stores))) this.contexts.set(c.id, c);
    this.flags = flagsOf(r.str() as KernelProfile);
    this.page = r.u64();
    this.nextContext = r.num();
    this.files.decode(r, this.contexts, this.dmabufs);
  }

  check(): string[] {
    return [...[...this.contexts.values()].flatMap(checkContext), ...this.dmabufs.check(), ...this.peers.check()];
  }

  /** What contexts hold of other services: see claims.ts. */
  claims(): Claims {
    return claimsOf(this.contexts.values(), this.peers);
  }

  figures(): Record<string, number> {
    const contexts = [...this.contexts.values()];
    const objects = contexts.reduce((n, c) => n + c.objects.size, 0);
    return {
      contexts: contexts.length,
      objects,
      files: this.files.size,
      dmabufs: this.dmabufs.size,
      peerStores: this.peers.stores.size,
    };
  }

  describe(): string[] {
    return [...[...this.contexts.values()].flatMap(describeContext), ...this.dmabufs.describe()];
  }
}

function deafen(file: OpenFile | undefined): Result<void> {
  if (!file) return fail('EBADF');
  if (file.kind !== 'iommufd-access') return fail('EINVAL');
  file.object.deaf = true;
  return ok(undefined);
}

function closeQueue(queue: Queue): void {
  queue.fileOpen = false;
  queue.users--;
}

function* holdingFile(context: Context, op: Op<IoctlReply>): Op<IoctlReply> {
  yield* lockRead(context.running);
  return yield* op;
}
