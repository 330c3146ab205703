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
  type HostSetup,
  type IoctlArgs,
  type IoctlReply,
  type MethodTable,
  type NewFile,
  type Op,
  type Request,
  type Surroundings,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result, VFIO_TOKEN_UUID_LENGTH } from '@vfiolab/uapi';
import { claimsOf, type GroupsClaims } from './claims.js';
import { devTree } from './dev-nodes.js';
import { VFIO_PCI } from './drivers.js';
import { deviceNode, listNames, ownerOf, readFile, readLink, scan, statOf, writeFile } from './files-io.js';
import { bindBootDrivers, buildHost } from './host-topology.js';
import { GroupFiles } from './group-files.js';
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
import { matchToken } from './vf-token.js';
import { useGroup } from './vfio-group.js';

interface Sealed {
  readonly error: string;
  readonly functions: number;
  readonly groups: number;
}
const refused = (error: string): Sealed => ({ error, functions: 0, groups: 0 });

export class GroupsCore implements Core {
  readonly service = 'groups';
  readonly methods: MethodTable;
  private readonly text = new MachineText();
  private readonly files = new GroupFiles();
  /** Undefined until sealed. Not private: tests break invariants through it. */
  host: Host | undefined;
  /** A seal is under way. */
  private sealing = false;
  private surroundings!: Surroundings;

  constructor() {
    this.methods = methodTable(
      implement(groupsApi, {
        load: ({ from }, { part, text }) => this.load(from, part, text),
        seal: ({ from }, setup) => this.seal(from, setup),
        resolve: ({ from }, { path, flags }) => ownerOf(this.root(), this.modes(), { from, path, flags }),
        stat: (_req, { path }) => statOf(this.root(), this.modes(), path),
        chmod: ({ from }, { path, mode }) => this.chmod(from, path, mode),
        sysfsWrite: ({ from }, { path, data }) => writeFile(this.root(), from, path, data),
        sysfsRead: ({ from }, { path }) => readFile(this.root(), from, path),
        sysfsScan: ({ from }, { path }) => scan(this.root(), from, path),
        readlink: (_req, { path }) => readLink(this.root(), path),
        listdir: (_req, { path }) => listNames(this.root(), path),
        cdevClaim: ({ from }, { bdf }) => this.cdevClaim(from, bdf),
        cdevRelease: ({ from }, { bdf }) => this.cdevRelease(from, bdf),
        groupUse: ({ from }, { bdf, client }) => this.groupUse(from, bdf, client),
        groupUnuse: ({ from }, { bdf }) => this.groupUnuse(from, bdf),
        vfTokenMatch: ({ from }, { bdf, token }) => this.vfTokenMatch(from, bdf, token),
        vfTokenSet: ({ from }, { bdf, token }) => this.vfTokenSet(from, bdf, token),
        claimDma: (req, { bdf, context }) => this.claimDma(req, bdf, context),
        releaseDma: (req, { bdf, context }) => this.releaseDma(req, bdf, context),
        resetReach: ({ from }, { bdf }) => this.resetReach(from, bdf),
        hotReset: ({ from }, { bdf, ...wanted }) => this.hotReset(from, bdf, wanted),
        vfioDevices: () => this.vfioDevices(),
        filesLeft: ({ from }, { open }) => this.filesLeft(from, open),
      }),
      implement(sysApi, {
        open: (req, { path, flags }) => this.open(req, path, flags),
        close: (req, { token }) => this.files.close(this.host!, token, req.from),
        ioctl: (req, args) => this.ioctl(req, args),
        ioctlFile: (req, args) => this.ioctl(req, args),
        pread: (req, { token }) => fail(this.files.get(token, req.from) ? 'EINVAL' : 'EBADF'),
        pwrite: (req, { token }) => fail(this.files.get(token, req.from) ? 'EINVAL' : 'EBADF'),
        grant: (req, { token, to }) =>
          this.surroundings.isGone(to) ? fail('ESRCH') : this.files.grant(req, token, to),
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
    for (const device of forVfio) yield* offer(host, device, host.drivers.get(VFIO_PCI)!);
    return { error: '', functions: host.devices.size, groups: host.groups.size };
  }

  /** ENXIO: nothing that this service opens; EACCES: its mode; else see GroupFiles. */
  private *open(req: Request, path: string, flags: number): Op<Result<NewFile>> {
    yield* this.files.enter(req.from);
    const node = deviceNode(this.root(), path);
    if (!node.ok) return node;
    const { group } = node.value;
    if (!group) return fail('ENXIO');
    if (!(yield* mayOpen(req.from, modeOf(this.modes(), path, node.value), flags))) return fail('EACCES');
    return yield* this.files.open(this.host!, req, group);
  }

  private *ioctl(req: Request, args: IoctlArgs): Op<IoctlReply> {
    yield* this.files.enter(req.from);
    const file = this.files.get(args.token, req.from);
    return file ? yield* answerGroupIoctl(this.host!, file, req, args) : failed('EBADF');
  }

  /** From now on the machine refuses what the client asks. */
  private *clientGone(from: Address, client: Address): Op<void> {
    if (from !== LAB) return;
    this.surroundings.forget(client);
    if (this.host) yield* this.files.endOf(this.host, client);
  }

  private passable(name: string): Passable | undefined {
    return this.host && passableNamed(this.host, name);
  }

  /** The vfio part of the device whose actor asks. */
  private ofActor(from: Address, bdf: string): VfioPart | undefined {
    return deviceOf(from) === bdf ? this.passable(bdf)?.vfio : undefined;
  }

  /** The ioctl that opens the device holds the group's lock all the while. */
  private *groupUse(from: Address, bdf: string, client: Address): Op<Result<undefined>> {
    const vfio = this.ofActor(from, bdf);
    if (!vfio) return fail('EPERM');
    const used = yield* useGroup(vfio.group, client);
    if (used.ok) vfio.inUse++;
    return used;
  }

  private *groupUnuse(from: Address, bdf: string): Op<void> {
    const vfio = this.ofActor(from, bdf);
    if (!vfio) return;
    vfio.inUse--;
    const { group } = vfio;
    if (group.backing.kind !== 'container') return;
    group.backing.users--;
    yield* this.files.unused(this.host!, group.file);
  }

  /**
   * A cdev is being bound: EPERM for anyone but the device's own actor, ENODEV when no vfio driver is bound. A device that
   * is being removed may still be bound by who has it open (b056). EBUSY: the group is open (A3.2).
   */
  private cdevClaim(from: Address, bdf: string): Result<undefined> {
    if (deviceOf(from) !== bdf) return fail('EPERM');
    const device = this.passable(bdf);
    if (!device?.vfio) return fail('ENODEV');
    if (device.vfio.group.file) return fail('EBUSY');
    device.cdevClaims++;
    return ok(undefined);
  }

  private cdevRelease(from: Address, bdf: string): void {
    const device = deviceOf(from) === bdf ? this.passable(bdf) : undefined;
    if (device && device.cdevClaims > 0) device.cdevClaims--;
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
  private *claimDma({ from }: Request, bdf: string, context: number): Op<Result<{ group: number; members: string[] }>> {
    if (from !== IOMMUFD) return fail('EPERM');
    const group = this.host?.devices.get(bdf)?.group;
    if (!this.host || !group) return fail('ENODEV');
    const claimed = yield* claimForContext(this.host, group, context);
    return claimed.ok ? ok({ group: group.id, members: [...group.members] }) : claimed;
  }

  private *releaseDma({ from }: Request, bdf: string, context: number): Op<void> {
    const group = from === IOMMUFD ? this.host?.devices.get(bdf)?.group : undefined;
    if (group) yield* releaseFromContext(group, context);
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
    return [...new Set([...driven, ...this.host.lingering])];
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
    if (view === 'meaning') return host && encodeMeaning(w, host);
    w.list(this.text.all, (piece) => w.str(piece));
    if (!host) return;
    encodeSetup(w, host.setup);
    encodeHost(w, host);
    this.files.encode(w);
  }

  decode(r: ByteReader): void {
    const sealed = r.bool();
    r.list(() => r.str()).forEach((piece, part) => this.text.add(part, piece));
    if (!sealed) return;
    const host = buildHost(this.text.joined(), decodeSetup(r));
    if (typeof host === 'string') throw new Error(`the snapshot's machine cannot be built any more: ${host}`);
    decodeHost(r, host);
    this.files.decode(r, host);
    this.host = host;
  }

  check(): string[] {
    return this.host ? [...brokenInvariants(this.host), ...this.files.check(this.host)] : [];
  }

  /** Owners and open devices: see claims.ts. Undefined: there is no host. */
  claims(): GroupsClaims | undefined {
    return this.host && claimsOf(this.host);
  }

  figures(): Record<string, number> {
    return { ...figuresOf(this.host), files: this.files.size };
  }

  describe(): string[] {
    if (this.host) return describeHost(this.host);
    return [this.text.count === 0 ? 'no host' : `no host; ${this.text.count} pieces of a machine are loaded`];
  }
}

/** Functions that have a group, in address order. At most 16,384 of them, about 400 kB: one message. */
const behindIommu = (host: Host): { bdf: string; group: number }[] =>
  [...host.devices.values()].flatMap(({ bdf, group }) => (group ? [{ bdf, group: group.id }] : []));
