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
import { ofDrivers, ofGuests } from './in-kernel-users.js';
import { checkExtension } from './ioctl/check-extension.js';
import { setIommu } from './ioctl/set-iommu.js';
import { replyOf } from './reply.js';
import { forget } from './spapr/memory.js';
import { move } from './uiommu/groups.js';
import { map, type Range, unmap, type Wanted } from './uiommu/memory.js';
import { Uiommu, UIOMMU } from './uiommu/uiommu.js';

const PATH = '/dev/vfio/vfio';
const KIND = 'container';
const UIOMMU_PATH = '/dev/uiommu';

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
        extension: (_req, { container, extension }) => checkExtension(this.existing(container), this.host, extension),
        ...ofDrivers(this.containers),
        ...ofGuests(this.containers),
        make: () => this.make(),
        holdDomain: (_req, { container }) => this.holdDomain(container),
        move: (_req, { from, to, ...group }) => move(this.existing(from), this.existing(to), group),
        domainMap: (_req, { container, ...wanted }) => this.domainMap(container, wanted),
        domainUnmap: (_req, { container, ...range }) => this.domainUnmap(container, range),
        ready: (_req, { container }) => (this.existing(container).backend ? ok(undefined) : fail('EINVAL')),
      }),
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  private setup(args: ArgsOf<typeof containerApi.setup>): Result<void> {
    const { profile, iommu, allowUnsafeInterrupts, pageShift, frames, teaching } = args;
    if (!isKernelProfile(profile)) return fail('EINVAL');
    this.host.become(profile, iommu, pageShift, frames, teaching !== undefined);
    this.host.set('allow_unsafe_interrupts', allowUnsafeInterrupts ? 1 : 0);
    return ok(undefined);
  }

  // Files

  private open(req: Request, path: string): Result<NewFile> {
    const made = path === UIOMMU_PATH && this.host.teaching ? this.newDomain() : this.newContainer(path);
    if (!made.ok) return made;
    const token = this.files.open(req.from, made.value, req.entropy);
    if (token === undefined) return fail('EMFILE');
    this.containers.set(this.nextId++, made.value);
    return ok({ token, kind: made.value.backend ? UIOMMU : KIND });
  }

  private newContainer(path: string): Result<Container> {
    return path === PATH ? ok(new Container(this.nextId)) : fail('ENXIO');
  }

  /** ENODEV: the host's IOMMU has no domains. */
  private newDomain(): Result<Container> {
    return this.host.hasDomains ? ok(new Container(this.nextId, new Uiommu(this.host))) : fail('ENODEV');
  }

  private *close(client: string, token: string): Op<Result<void>> {
    const closed = this.files.close(token, client);
    if (!closed) return fail('EBADF');
    if (closed.last) {
      closed.file.fileOpen = false;
      yield* this.forgetAbandoned(closed.file);
    }
    return ok(undefined);
  }

  private *forgetAbandoned(container: Container): Op<void> {
    if (!container.abandoned) return;
    this.containers.delete(container.id);
    if (!container.backend?.standing) return;
    yield* lockWrite(container.lock);
    yield* container.backend.release();
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
    for (const token of this.files.of(client)) yield* this.close(client, token);
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
    if (container.backend?.standing) return this.onBackend(container, req, args);
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

  private hold({ token, client, noiommu, uiommu = false }: ArgsOf<typeof containerApi.hold>): Result<{
    container: number;
  }> {
    const container = this.files.get(token, client);
    if (!container) return fail('EBADF');
    if (uiommu !== (container.backend?.standing ?? false)) return fail(uiommu ? 'EBADF' : 'EBADFD');
    if (container.mixes(noiommu)) return fail('EPERM');
    container.holds++;
    return ok({ container: container.id });
  }

  private *drop(id: number): Op<void> {
    const container = this.existing(id);
    container.holds--;
    yield* this.forgetAbandoned(container);
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
    if (!backend || backend.standing || container.groups.length > 0) return;
    yield* backend.release();
    container.backend = undefined;
    if (backend.owner !== undefined) yield* this.forgetMemory(backend.owner);
  }

  // Domains of 2010

  private make(): Result<{ container: number }> {
    const made = this.newDomain();
    if (!made.ok) return made;
    made.value.fileOpen = false;
    made.value.holds = 1;
    this.containers.set(this.nextId, made.value);
    return ok({ container: this.nextId++ });
  }

  private holdDomain(id: number): Result<{ container: number }> {
    const domain = this.containers.get(id);
    if (!domain?.backend?.standing) return fail('EBADF');
    domain.holds++;
    return ok({ container: id });
  }

  private *domainMap(id: number, { client, ...wanted }: Wanted & { client: string }): Op<Result<void>> {
    const domain = this.containers.get(id);
    if (!(domain?.backend instanceof Uiommu)) return fail('EBADF');
    yield* lockRead(domain.lock);
    const mapped = yield* map(domain.backend, client, wanted);
    return mapped.ok ? ok(undefined) : mapped;
  }

  private *domainUnmap(id: number, range: Range): Op<Result<bigint>> {
    const domain = this.containers.get(id);
    if (!(domain?.backend instanceof Uiommu)) return fail('EBADF');
    yield* lockRead(domain.lock);
    return yield* unmap(domain.backend, range);
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
