/**
 * Core of the container service.
 *
 * Rule: an ioctl holds its container's lock for reading, SET_IOMMU and groups that come or go hold it for writing; so no
 * backend goes while an ioctl runs on it.
 */
import {
  fail,
  isKernelProfile,
  ok,
  type Result,
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_SET_IOMMU,
} from '@vfiolab/uapi';
import {
  type ArgsOf,
  type ByteReader,
  type ByteWriter,
  containerApi,
  type Core,
  failed,
  FileTable,
  implement,
  type IoctlArgs,
  type IoctlReply,
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
  type Surroundings,
  sysApi,
  type View,
} from '@vfiolab/core';
import { claimsOf, type ContainerClaims } from './claims.js';
import { Container } from './container.js';
import { Host } from './host.js';
import { checkExtension } from './ioctl/check-extension.js';
import { setIommu } from './ioctl/set-iommu.js';
import { replyOf } from './reply.js';
import { forget } from './spapr/memory.js';

const PATH = '/dev/vfio/vfio';
const KIND = 'container';

export class ContainerCore implements Core {
  readonly service = 'container';
  readonly methods: MethodTable;
  private readonly host = new Host();
  private readonly files = new FileTable<Container>();
  private readonly containers = new Map<number, Container>();
  private nextId = 1;
  private surroundings!: Surroundings;

  constructor() {
    this.methods = methodTable(
      implement(sysApi, {
        open: (req, { path }) => this.open(req, path),
        close: (req, { token }) => this.close(req.from, token),
        ioctl: (req, args) => this.ioctl(req, args),
        ioctlFile: (req, args) => this.ioctl(req, args),
        pread: (req, { token }) => this.seek(req.from, token),
        pwrite: (req, { token }) => this.seek(req.from, token),
        grant: (req, { token, to }) => this.grant(req, token, to),
        clientGone: (req, { client }) => this.clientGone(req.from, client),
      }),
      implement(containerApi, {
        setup: (_req, args) => this.setup(args),
        parameter: (_req, { name, value }) => (this.host.set(name, value) ? ok(undefined) : fail('ENOENT')),
        hold: (_req, args) => this.hold(args),
        drop: (_req, { container }) => this.drop(container),
        join: (_req, { container, ...group }) => this.joinGroup(this.existing(container), group),
        leave: (_req, { container, group }) => this.leaveGroup(this.existing(container), group),
        ready: (_req, { container }) => (this.existing(container).backend ? ok(undefined) : fail('EINVAL')),
      }),
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  private setup(args: ArgsOf<typeof containerApi.setup>): Result<void> {
    const { profile, iommu, allowUnsafeInterrupts, pageShift, frames } = args;
    if (!isKernelProfile(profile)) return fail('EINVAL');
    this.host.become(profile, iommu, pageShift, frames);
    this.host.set('allow_unsafe_interrupts', allowUnsafeInterrupts ? 1 : 0);
    return ok(undefined);
  }

  // Files

  private open(req: Request, path: string): Result<NewFile> {
    if (path !== PATH) return fail('ENXIO');
    const container = new Container(this.nextId);
    const token = this.files.open(req.from, container, req.entropy);
    if (token === undefined) return fail('EMFILE');
    this.containers.set(this.nextId++, container);
    return ok({ token, kind: KIND });
  }

  private close(client: string, token: string): Result<void> {
    const closed = this.files.close(token, client);
    if (!closed) return fail('EBADF');
    if (closed.last) {
      closed.file.fileOpen = false;
      this.forgetAbandoned(closed.file);
    }
    return ok(undefined);
  }

  private forgetAbandoned(container: Container): void {
    if (container.abandoned) this.containers.delete(container.id);
  }

  private grant(req: Request, token: string, to: string): Result<NewFile> {
    const container = this.files.get(token, req.from);
    if (!container) return fail('EBADF');
    if (!isClient(to)) return fail('EINVAL');
    if (this.surroundings.isGone(to)) return fail('ESRCH');
    const granted = this.files.open(to, container, req.entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: KIND });
  }

  /** A container's file has neither read nor write (trace b070). */
  private seek(client: string, token: string): Result<never> {
    return fail(this.files.get(token, client) ? 'EINVAL' : 'EBADF');
  }

  private *clientGone(from: string, client: string): Op<void> {
    if (from !== LAB) return;
    for (const token of this.files.of(client)) this.close(client, token);
    this.surroundings.forget(client);
    this.host.ended.add(client);
    yield* this.forgetMemory(client);
  }

  /** Memory of a process that has ended goes when no container works on it any more. */
  private *forgetMemory(client: string): Op<void> {
    const inUse = [...this.containers.values()].some(({ backend }) => backend?.owner === client);
    if (inUse || !this.host.ended.delete(client)) return;
    for (const registration of this.host.registrations.takeAll(client)) yield* forget(registration);
  }

  // Ioctls

  private ioctl(req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply> {
    const container = this.files.get(args.token, req.from);
    if (!container) return failed('EBADF');
    switch (args.cmd) {
      case VFIO_GET_API_VERSION.nr:
        return replyOf(ok(VFIO_API_VERSION));
      case VFIO_CHECK_EXTENSION.nr:
        return this.checkExtension(container, args.arg);
      case VFIO_SET_IOMMU.nr:
        return this.setIommu(container, req.from, args.arg);
      default:
        return this.onBackend(container, req, args);
    }
  }

  private *checkExtension(container: Container, extension: number): Op<IoctlReply> {
    yield* lockRead(container.lock);
    return replyOf(ok(checkExtension(container, this.host, extension)));
  }

  private *setIommu(container: Container, client: string, type: number): Op<IoctlReply> {
    yield* lockWrite(container.lock);
    return replyOf(yield* setIommu(container, this.host, client, type));
  }

  /** EINVAL: there is no backend; else the backend's answer. */
  private *onBackend(container: Container, req: Request, args: IoctlArgs): Op<IoctlReply> {
    yield* lockRead(container.lock);
    const { backend } = container;
    if (!backend) return failed('EINVAL');
    const answer = backend.ioctl(req, args);
    return isOp(answer) ? yield* answer as Op<IoctlReply> : answer;
  }

  // Groups

  private hold({ token, client, noiommu }: ArgsOf<typeof containerApi.hold>): Result<{ container: number }> {
    const container = this.files.get(token, client);
    if (!container) return fail('EBADF');
    if (container.mixes(noiommu)) return fail('EPERM');
    container.holds++;
    return ok({ container: container.id });
  }

  private drop(id: number): void {
    const container = this.existing(id);
    container.holds--;
    this.forgetAbandoned(container);
  }

  private *joinGroup(container: Container, group: Container['groups'][number]): Op<Result<void>> {
    yield* lockWrite(container.lock);
    if (container.mixes(group.noiommu)) return fail('EPERM');
    const joined = container.backend ? yield* container.backend.join(group) : ok(undefined);
    if (joined.ok) container.groups.push(group);
    return joined;
  }

  private *leaveGroup(container: Container, id: number): Op<void> {
    yield* lockWrite(container.lock);
    const { backend, groups } = container;
    const group = groups.find((g) => g.group === id);
    if (!group) throw new Error(`group ${id} is not in container ${container.id}`);
    if (backend) yield* backend.leave(group);
    container.groups = groups.filter((g) => g !== group);
    if (!backend || container.groups.length > 0) return;
    yield* backend.release();
    container.backend = undefined;
    if (backend.owner !== undefined) yield* this.forgetMemory(backend.owner);
  }

  /** A container that `groups` named: one that does not exist is a bug. */
  private existing(id: number): Container {
    const container = this.containers.get(id);
    if (!container) throw new Error(`container ${id} does not exist`);
    return container;
  }

  encode(w: ByteWriter, view: View): void {
    if (view === 'snapshot') this.host.encode(w);
    this.host.registrations.encode(w, view);
    w.list([...this.containers.values()], (c) => c.encode(w, view));
    if (view === 'meaning') return;
    w.num(this.nextId);
    this.files.encode(w);
  }

  decode(r: ByteReader): void {
    this.host.decode(r);
    this.host.registrations.decode(r);
    for (const c of r.list(() => Container.decode(r, this.host))) this.containers.set(c.id, c);
    this.nextId = r.num();
    this.files.decode(r, (id) => this.containers.get(id)!);
  }

  check(): string[] {
    return [...this.containers.values()].flatMap((c) => c.check());
  }

  /** What containers hold of other services: see claims.ts. */
  claims(): ContainerClaims {
    return claimsOf([...this.containers.values()], this.host.registrations);
  }

  describe(): string[] {
    return [...this.containers.values()].flatMap((c) => c.describe());
  }

  figures(): Record<string, number> {
    const containers = [...this.containers.values()];
    const sum = (of: (c: Container) => number) => containers.reduce((n, c) => n + of(c), 0);
    return {
      containers: containers.length,
      files: this.files.size,
      groups: sum((c) => c.groups.length),
      held: sum((c) => c.backend?.held ?? 0),
      registrations: this.host.registrations.size,
    };
  }
}
