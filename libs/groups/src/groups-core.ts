/**
 * Core of the groups service: topology, driver binding, DMA ownership, sysfs and device nodes of one host.
 *
 * Words: a host is *sealed* when all pieces of its machine's description have come and the groups are computed.
 * Rule: who may ask what is decided here, by the sender that the bus names; everything else is kernel behaviour.
 */
import {
  call,
  deviceOf,
  failed,
  groupsApi,
  implement,
  IOMMU,
  IOMMUFD,
  iommuApi,
  LAB,
  methodTable,
  sysApi,
  type Address,
  type ByteReader,
  type ByteWriter,
  type Core,
  type Dependent,
  type DeviceFault,
  type HostSetup,
  type IoctlArgs,
  type IoctlReply,
  type MethodTable,
  type NewFile,
  type Op,
  type ReplyOf,
  type Request,
  type Surroundings,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result, VFIO_TOKEN_UUID_LENGTH } from '@vfiolab/uapi';
import { claimsOf, type GroupsClaims } from './claims.js';
import { causeFault } from './device-faults.js';
import { devTree } from './dev-nodes.js';
import { VFIO_PCI } from './drivers.js';
import { deviceNode, listNames, ownerOf, readFile, readLink, scan, statOf, writeFile } from './files-io.js';
import { bindBootDrivers, buildHost } from './host-topology.js';
import { GroupFiles } from './group-files.js';
import { KvmFiles } from './kvm/files.js';
import { answerKvmIoctl } from './kvm/ioctl-table.js';
import { type Host, type Passable, passableNamed, passables, type VfioPart } from './host.js';
import { dependentsOf, hotReset, type WantedReset } from './hot-reset.js';
import { answerGroupIoctl } from './ioctl-table.js';
import { configurationOf } from './endpoints.js';
import { brokenInvariants, describeHost, figuresOf } from './invariants.js';
import { MachineText } from './machine-text.js';
import { changeMode, mayOpen, modeOf, type NodeModes } from './node-modes.js';
import { fixedDir, type Node } from './nodes.js';
import { procTree } from './proc-files.js';
import { claimForContext, releaseFromContext } from './ownership.js';
import { offer } from './probing.js';
import { decodeHost, decodeSetup, encodeHost, encodeMeaning, encodeSetup } from './state.js';
import { sysfsTree } from './sysfs.js';
import { joinDomain, leaveDomain, type WantedDomain } from './uiommu.js';
import { probeVdpas } from './vdpa.js';
import { matchToken } from './vf-token.js';
import { useGroup } from './vfio-group.js';

type ClaimReply = Op<ReplyOf<typeof groupsApi.claimDma>>;

interface Sealed {
  readonly error: string;
  readonly functions: number;
  readonly groups: number;
  readonly powerpc: boolean;
}
const refused = (error: string): Sealed => ({ error, functions: 0, groups: 0, powerpc: false });

export class GroupsCore implements Core {
  readonly service = 'groups';
  readonly methods: MethodTable;
  private readonly text = new MachineText();
  private readonly files = new GroupFiles();
  private readonly kvm = new KvmFiles();
  /** Undefined until sealed. Not private: tests break invariants through it. */
  host: Host | undefined;
  /** A seal is under way. */
  private sealing = false;
  private surroundings!: Surroundings;

  constructor() {
    this.methods = methodTable(
      implement(groupsApi, {
        load: ({ from }, { part, text }) => this.load(from, part, text),
        deviceFault: ({ from }, fault) => this.deviceFault(from, fault),
        seal: ({ from }, setup) => this.seal(from, setup),
        resolve: ({ from }, { path, flags }) => ownerOf(this.root(), this.modes(), { from, path, flags }),
        stat: (_req, { path }) => statOf(this.root(), this.modes(), path),
        chmod: ({ from }, { path, mode }) => this.chmod(from, path, mode),
        sysfsWrite: ({ from }, { path, data }) => writeFile(this.root(), from, path, data),
        sysfsRead: ({ from }, { path }) => readFile(this.root(), from, path),
        sysfsScan: ({ from }, { path }) => scan(this.root(), from, path),
        readlink: (_req, { path }) => readLink(this.root(), path),
        listdir: (_req, { path }) => listNames(this.root(), path),
        cdevClaim: ({ from }, { bdf, vm }) => this.cdevClaim(from, bdf, vm),
        cdevRelease: ({ from }, { bdf }) => this.cdevRelease(from, bdf),
        groupUse: ({ from }, { bdf, client }) => this.groupUse(from, bdf, client),
        groupUnuse: ({ from }, { bdf }) => this.groupUnuse(from, bdf),
        vfTokenMatch: ({ from }, { bdf, token }) => this.vfTokenMatch(from, bdf, token),
        vfTokenSet: ({ from }, { bdf, token }) => this.vfTokenSet(from, bdf, token),
        domainJoin: (req, { bdf, ...wanted }) => this.domainJoin(req.from, bdf, wanted),
        domainLeave: (req, { bdf }) => this.domainLeave(req.from, bdf),
        claimDma: (req, { bdf, context }) => this.claimDma(req, bdf, context),
        releaseDma: (req, { bdf, context }) => this.releaseDma(req, bdf, context),
        resetReach: ({ from }, { bdf }) => this.resetReach(from, bdf),
        hotReset: ({ from }, { bdf, ...wanted }) => this.hotReset(from, bdf, wanted),
        vfioDevices: () => this.vfioDevices(),
        filesLeft: ({ from }, { open }) => this.filesLeft(from, open),
      }),
      implement(sysApi, {
        open: (req, { path, flags }) => this.open(req, path, flags),
        close: (req, { token }) => this.close(token, req.from),
        ioctl: (req, args) => this.ioctl(req, args),
        ioctlFile: (req, args) => this.ioctl(req, args),
        pread: (req, { token }) => fail(this.isOpen(token, req.from) ? 'EINVAL' : 'EBADF'),
        pwrite: (req, { token }) => fail(this.isOpen(token, req.from) ? 'EINVAL' : 'EBADF'),
        grant: (req, { token, to }) => this.grant(req, token, to),
        clientGone: (req, { client }) => this.clientGone(req.from, client),
      }),
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  /** The tree of paths; empty before there is a host. */
  private root(): Node {
    const { host } = this;
    return fixedDir(host ? { dev: () => devTree(host), proc: () => procTree(host), sys: () => sysfsTree(host) } : {});
  }

  private modes(): NodeModes {
    return this.host?.modes ?? new Map();
  }

  private chmod(from: Address, path: string, mode: number): Result<void> | Op<Result<void>> {
    return this.host ? changeMode(this.host, this.root(), from, path, mode) : fail('ENOENT');
  }

  /** EPERM: not the lab; EBUSY: there is a host already; EINVAL, E2BIG: see MachineText. */
  private load(from: Address, part: number, text: string): Result<undefined> {
    if (from !== LAB) return fail('EPERM');
    if (this.host || this.sealing) return fail('EBUSY');
    return this.text.add(part, text);
  }

  /** Makes the host. vfio-pci is bound last, where the machine was recorded with it: that asks the devices' actors. */
  private *seal(from: Address, setup: HostSetup): Op<Sealed> {
    if (from !== LAB) return refused('Only the lab may make the host.');
    if (this.host || this.sealing)
      return refused('The host was made already. A lab has one; make a new lab for another.');
    if (this.text.count === 0) return refused('No machine was loaded. Load the description of a machine first.');
    const host = buildHost(this.text.joined(), setup);
    if (typeof host === 'string') {
      this.text.clear();
      return refused(host);
    }
    this.sealing = true;
    const forVfio = bindBootDrivers(host);
    yield* call(IOMMU, iommuApi.configure, configurationOf(host));
    yield* call(IOMMU, iommuApi.setup, { kind: setup.iommu, functions: behindIommu(host) });
    this.host = host;
    this.sealing = false;
    yield* probeVdpas(host);
    for (const device of forVfio) yield* offer(host, device, host.drivers.get(VFIO_PCI)!);
    const powerpc = host.iommu.endpoints !== undefined;
    return { error: '', functions: host.devices.size, groups: host.groups.size, powerpc };
  }

  private *deviceFault(from: Address, fault: DeviceFault): Op<{ error: string }> {
    if (from !== LAB) return { error: 'Only the lab causes faults.' };
    return { error: this.host ? yield* causeFault(this.host, fault) : 'There is no host yet. Make one first.' };
  }

  /** ENXIO: nothing that this service opens; EACCES: its mode; else see GroupFiles. */
  private *open(req: Request, path: string, flags: number): Op<Result<NewFile>> {
    yield* this.files.enter(req.from);
    const node = deviceNode(this.root(), path);
    if (!node.ok) return node;
    const { group, kvm } = node.value;
    if (!group && !kvm) return fail('ENXIO');
    if (!(yield* mayOpen(req.from, modeOf(this.modes(), path, node.value), flags))) return fail('EACCES');
    return group ? yield* this.files.open(this.host!, req, group) : this.kvm.make(req, 'kvm');
  }

  private *ioctl(req: Request, args: IoctlArgs): Op<IoctlReply> {
    yield* this.files.enter(req.from);
    const { files, kvm, host } = this;
    const file = files.get(args.token, req.from);
    if (file) return yield* answerGroupIoctl(host!, file, req, args);
    const ofKvm = kvm.get(args.token, req.from);
    return ofKvm ? yield* answerKvmIoctl({ host: host!, kvm, files }, ofKvm, req, args) : failed('EBADF');
  }

  private isOpen(token: string, client: Address): boolean {
    return (this.files.get(token, client) ?? this.kvm.get(token, client)) !== undefined;
  }

  private close(token: string, client: Address): Op<Result<void>> {
    const { files, kvm, host } = this;
    return kvm.get(token, client) ? kvm.close(host!, files, token, client) : files.close(host!, token, client);
  }

  /** From now on the machine refuses what the client asks. */
  private *clientGone(from: Address, client: Address): Op<void> {
    if (from !== LAB) return;
    this.surroundings.forget(client);
    if (!this.host) return;
    yield* this.files.endOf(this.host, client);
    yield* this.kvm.endOf(this.host, this.files, client);
  }

  /** ESRCH: that client has ended; else as the file's kind has it. */
  private grant(req: Request, token: string, to: Address): Result<NewFile> {
    if (this.surroundings.isGone(to)) return fail('ESRCH');
    return (this.kvm.get(token, req.from) ? this.kvm : this.files).grant(req, token, to);
  }

  private passable(name: string): Passable | undefined {
    return this.host && passableNamed(this.host, name);
  }

  /** The vfio part of the device whose actor asks. */
  private ofActor(from: Address, bdf: string): VfioPart | undefined {
    return deviceOf(from) === bdf ? this.passable(bdf)?.vfio : undefined;
  }

  /** The ioctl that opens the device holds the group's lock all the while. */
  private *groupUse(from: Address, bdf: string, client: Address): Op<Result<{ vm: number }>> {
    const vfio = this.ofActor(from, bdf);
    if (!vfio) return fail('EPERM');
    const used = yield* useGroup(vfio.group, client);
    if (!used.ok) return used;
    // The last close of before may not have been heard of yet.
    this.letVmGo(vfio);
    vfio.uses = [...vfio.uses, used.value.counted];
    vfio.vm = vfio.group.vm;
    return ok({ vm: vfio.vm });
  }

  /** The device does not keep its VM any more. */
  private letVmGo(vfio: VfioPart): void {
    const vm = this.host!.vms.get(vfio.vm);
    vfio.vm = 0;
    this.kvm.forget(this.host!, vm);
  }

  private *groupUnuse(from: Address, bdf: string): Op<void> {
    const vfio = this.ofActor(from, bdf);
    if (!vfio) return;
    const [counted, ...others] = vfio.uses;
    vfio.uses = others;
    if (others.length === 0) this.letVmGo(vfio);
    const { group } = vfio;
    if (!counted || group.backing.kind !== 'container') return;
    group.backing.users--;
    yield* this.files.unused(this.host!, group.file);
  }

  /**
   * A cdev is being bound: EPERM for anyone but the device's own actor, ENODEV when no vfio driver is bound. A device that
   * is being removed may still be bound by who has it open (b056). EBUSY: the group is open (A3.2).
   */
  private cdevClaim(from: Address, bdf: string, vm: number): Result<undefined> {
    if (deviceOf(from) !== bdf) return fail('EPERM');
    const device = this.passable(bdf);
    if (!device || (!device.vfio && !this.host!.vdpas.has(bdf))) return fail('ENODEV');
    if (device.vfio?.group.file) return fail('EBUSY');
    device.cdevClaims++;
    if (device.vfio) device.vfio.vm = vm;
    return ok(undefined);
  }

  private cdevRelease(from: Address, bdf: string): void {
    const device = deviceOf(from) === bdf ? this.passable(bdf) : undefined;
    if (!device || device.cdevClaims === 0) return;
    device.cdevClaims--;
    if (device.vfio) this.letVmGo(device.vfio);
  }

  /** EPERM: not the device's own actor, or not a PCI function of vfio-pci's; else see joinDomain. */
  private *domainJoin(from: Address, bdf: string, wanted: WantedDomain): Op<Result<{ domain: number }>> {
    const device = this.ofActor(from, bdf) && this.host!.devices.get(bdf);
    return device ? yield* joinDomain(this.host!, device, wanted) : fail('EPERM');
  }

  private *domainLeave(from: Address, bdf: string): Op<void> {
    const device = this.ofActor(from, bdf) && this.host!.devices.get(bdf);
    if (device) yield* leaveDomain(device);
  }

  /** EPERM: not the device's own actor; else see matchToken. */
  private vfTokenMatch(from: Address, bdf: string, token: Uint8Array | undefined): Result<undefined> {
    const device = this.ofActor(from, bdf) && this.host!.devices.get(bdf);
    return device ? matchToken(this.host!, device, token) : fail('EPERM');
  }

  private vfTokenSet(from: Address, bdf: string, token: Uint8Array): void {
    const vfio = this.ofActor(from, bdf);
    if (vfio && token.length === VFIO_TOKEN_UUID_LENGTH) vfio.token = token.slice();
  }

  /** EPERM: not iommufd, or see claimForContext; ENODEV: no such function, or no IOMMU before it. */
  private *claimDma({ from }: Request, bdf: string, context: number): ClaimReply {
    if (from !== IOMMUFD) return fail('EPERM');
    const group = this.passable(bdf)?.group;
    if (!this.host || !group) return fail('ENODEV');
    const whose = { group: group.id, members: [...group.members], noiommu: group.noiommu };
    if (group.noiommu) return ok(whose);
    const claimed = yield* claimForContext(this.host, group, context);
    return claimed.ok ? ok(whose) : claimed;
  }

  private *releaseDma({ from }: Request, bdf: string, context: number): Op<void> {
    const group = from === IOMMUFD ? this.passable(bdf)?.group : undefined;
    if (group && !group.noiommu) yield* releaseFromContext(group, context);
  }

  /** EPERM: not the function itself, or it is not vfio-pci's. */
  private resetReach(from: Address, bdf: string): Result<Dependent[]> {
    const { host } = this;
    return host && this.ofActor(from, bdf) ? dependentsOf(host, host.devices.get(bdf)!) : fail('EPERM');
  }

  private *hotReset(from: Address, bdf: string, wanted: WantedReset): Op<Result<void>> {
    const { host } = this;
    if (!host || !this.ofActor(from, bdf)) return fail('EPERM');
    return yield* hotReset(host, this.files, host.devices.get(bdf)!, wanted);
  }

  /** Also those that are being probed or removed: a client that is gone may be what the remove waits for. */
  private vfioDevices(): string[] {
    if (!this.host) return [];
    const driven = [...passables(this.host)].filter(({ vfio }) => vfio !== undefined).map(({ name }) => name);
    return [...new Set([...driven, ...this.host.vdpas.keys(), ...this.host.lingering])];
  }

  /** Anyone but a device is ignored. */
  private filesLeft(from: Address, open: boolean): void {
    const name = deviceOf(from);
    if (name === undefined) return;
    if (open) this.host?.lingering.add(name);
    else this.host?.lingering.delete(name);
  }

  encode(w: ByteWriter, view: View): void {
    const { host } = this;
    w.bool(host !== undefined);
    if (view === 'meaning') {
      if (!host) return;
      encodeMeaning(w, host);
      return this.kvm.encode(w, host, view);
    }
    w.list(this.text.all, (piece) => w.str(piece));
    if (!host) return;
    encodeSetup(w, host.setup);
    encodeHost(w, host);
    this.files.encode(w);
    this.kvm.encode(w, host, view);
  }

  decode(r: ByteReader): void {
    const sealed = r.bool();
    r.list(() => r.str()).forEach((piece, part) => this.text.add(part, piece));
    if (!sealed) return;
    const host = buildHost(this.text.joined(), decodeSetup(r));
    if (typeof host === 'string') throw new Error(`the snapshot's machine cannot be built any more: ${host}`);
    decodeHost(r, host);
    this.files.decode(r, host);
    this.kvm.decode(r, host);
    this.host = host;
  }

  check(): string[] {
    const { host } = this;
    return host ? [...brokenInvariants(host), ...this.files.check(host), ...this.kvm.check(host)] : [];
  }

  /** Owners and open devices: see claims.ts. Undefined: there is no host. */
  claims(): GroupsClaims | undefined {
    return this.host && claimsOf(this.host);
  }

  figures(): Record<string, number> {
    return { ...figuresOf(this.host), files: this.files.size + this.kvm.size, vms: this.host?.vms.size ?? 0 };
  }

  describe(): string[] {
    if (this.host) return describeHost(this.host);
    return [this.text.count === 0 ? 'no host' : `no host; ${this.text.count} pieces of a machine are loaded`];
  }
}

/** Functions that have a group, in address order, then devices of the second bus. At most 16,384 of them, about 400 kB: one message. */
const behindIommu = ({ devices, vdpas }: Host): { bdf: string; group: number }[] =>
  [...devices.values(), ...vdpas.values()].flatMap(({ name, group }) =>
    group ? [{ bdf: name, group: group.id }] : [],
  );
