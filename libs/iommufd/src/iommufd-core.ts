/**
 * Core of the iommufd service.
 *
 * Rule: an ioctl and the last close exclude each other (a running call holds its file, as fdget does); a context goes when
 * its file is closed and no device is bound to it.
 */
import { fail, type KernelProfile, ok, refuseUnknown, type Result } from '@vfiolab/uapi';
import {
  answerIoctl,
  type ByteReader,
  type ByteWriter,
  call,
  type Core,
  failed,
  FileTable,
  GROUPS,
  groupsApi,
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
  SegmentMemory,
  type Surroundings,
  sysApi,
  unlock,
  type View,
} from '@vfiolab/core';
import { changePt, detach } from './attach.js';
import { checkContext } from './check.js';
import { BoundDevice, Context, isDevice } from './context.js';
import { destroyObject } from './ioctl/destroy.js';
import type { IommufdFile } from './ioctl/call.js';
import { iommufdTable } from './ioctl-table.js';
import type { Store } from './ioas.js';
import { describeContext } from './describe.js';
import { decodeContext, encodeContext } from './state.js';

interface Bound {
  readonly context: number;
  readonly device: number;
}

export class IommufdCore implements Core {
  readonly service = 'iommufd';
  readonly methods: MethodTable;
  private readonly files = new FileTable<IommufdFile>();
  private readonly contexts = new Map<number, Context>();
  private nextContext = 1;
  private surroundings!: Surroundings;

  constructor(private readonly profile: KernelProfile = '6.12') {
    this.methods = methodTable(
      implement(sysApi, {
        open: (req, { path }) => this.open(req, path),
        close: (req, { token }) => this.close(req.from, token),
        ioctl: (req, args) => this.ioctl(req, args),
        ioctlFile: (req, args) => this.ioctl(req, args),
        pread: () => fail('EINVAL'),
        pwrite: () => fail('EINVAL'),
        grant: (req, { token, to }) => this.grant(req, token, to),
        clientGone: (req, { client }) => this.clientGone(req.from, client),
      }),
      implement(iommufdApi, {
        bind: (_req, args) => this.bind(args.token, args.client, args.bdf),
        unbind: (_req, args) => this.unbind(args),
        attach: (_req, args) => this.attach(args, args.pt),
        detach: (_req, args) => this.detach(args),
      }),
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  private open(req: Request, path: string): Result<NewFile> {
    if (path !== '/dev/iommu') return fail('ENXIO');
    const context = new Context(this.nextContext);
    const token = this.files.open(req.from, { id: context.id, context }, req.entropy);
    if (token === undefined) return fail('EMFILE');
    this.contexts.set(this.nextContext++, context);
    return ok({ token, kind: 'iommufd' });
  }

  private *close(client: string, token: string): Op<Result<void>> {
    const closed = this.files.close(token, client);
    if (!closed) return fail('EBADF');
    if (closed.last) yield* this.lastClose(closed.file.context);
    return ok(undefined);
  }

  private *lastClose(context: Context): Op<void> {
    yield* lockWrite(context.running);
    context.fileOpen = false;
    if (context.boundDevices === 0) yield* this.release(context);
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
    const found = iommufdTable.get(args.cmd);
    if (!found) return failed(refuseUnknown(args.cmd, BigInt(args.arg), new SegmentMemory(args.segments)));
    const answer = answerIoctl(found, this.profile, file, req, args);
    return isOp(answer) ? holdingFile(file.context, answer as Op<IoctlReply>) : answer;
  }

  private grant(req: Request, token: string, to: string): Result<NewFile> {
    const file = this.files.get(token, req.from);
    if (!file) return fail('EBADF');
    if (!isClient(to)) return fail('EINVAL');
    const granted = this.files.open(to, file, req.entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: 'iommufd' });
  }

  private *clientGone(from: string, client: string): Op<void> {
    if (from !== LAB) return;
    for (const token of this.files.of(client)) yield* this.close(client, token);
    this.surroundings.forget(client);
  }

  private *bind(token: string, client: string, bdf: string): Op<Result<Bound>> {
    const file = this.files.get(token, client);
    if (!file) return fail('EBADF');
    const { context } = file;
    yield* lockRead(context.running);
    const claimed = yield* call(GROUPS, groupsApi.claimDma, { bdf, context: context.id });
    if (!claimed.ok) return claimed;
    const device = new BoundDevice(bdf, context.igroup(claimed.value.group, claimed.value.members));
    const id = context.objects.reserve(device);
    if (!id.ok) {
      yield* call(GROUPS, groupsApi.releaseDma, { bdf, context: context.id });
      return id;
    }
    device.igroup.bound++;
    context.objects.finalize(device);
    return ok({ context: context.id, device: id.value });
  }

  private *unbind({ context: contextId, device: id }: Bound): Op<void> {
    const found = this.find({ context: contextId, device: id });
    if (!found) return;
    const { context, device } = found;
    yield* detach(context, device);
    yield* lockWrite(device.shortTerm);
    context.objects.remove(device);
    if (--device.igroup.bound === 0) context.igroups.delete(device.igroup.id);
    yield* call(GROUPS, groupsApi.releaseDma, { bdf: device.bdf, context: context.id });
    if (context.fileOpen || context.boundDevices > 0) return;
    yield* lockWrite(context.running);
    if (this.contexts.get(contextId) === context) yield* this.release(context);
  }

  private *attach(bound: Bound, pt: number): Op<Result<{ pt: number }>> {
    const found = this.find(bound);
    if (!found) return fail('ENODEV');
    yield* lockRead(found.context.running);
    const moved = yield* changePt(found.context, found.device, pt);
    return moved.ok ? ok({ pt: moved.value }) : moved;
  }

  private *detach(bound: Bound): Op<void> {
    const found = this.find(bound);
    if (found) yield* detach(found.context, found.device);
  }

  private find({ context: contextId, device: id }: Bound): { context: Context; device: BoundDevice } | undefined {
    const context = this.contexts.get(contextId);
    const device = context?.objects.get(id);
    return context && device && isDevice(device) ? { context, device } : undefined;
  }

  encode(w: ByteWriter, view: View): void {
    const contexts = [...this.contexts.values()].sort((a, b) => a.id - b.id);
    w.list(contexts, (c) => encodeContext(w, c, view));
    if (view === 'meaning') return;
    w.num(this.nextContext);
    this.files.encode(w);
  }

  decode(r: ByteReader): void {
    const stores = new Map<number, Store>();
    for (const c of r.list(() => decodeContext(r, stores))) this.contexts.set(c.id, c);
    this.nextContext = r.num();
    this.files.decode(r, (id) => ({ id, context: this.contexts.get(id)! }));
  }

  check(): string[] {
    return [...this.contexts.values()].flatMap(checkContext);
  }

  figures(): Record<string, number> {
    const contexts = [...this.contexts.values()];
    const objects = contexts.reduce((n, c) => n + c.objects.size, 0);
    return { contexts: contexts.length, objects, files: this.files.size };
  }

  describe(): string[] {
    return [...this.contexts.values()].flatMap(describeContext);
  }
}

function* holdingFile(context: Context, op: Op<IoctlReply>): Op<IoctlReply> {
  yield* lockRead(context.running);
  return yield* op;
}
