/**
 * Core of the groups service: topology, driver binding, DMA ownership, sysfs and device nodes of one host.
 *
 * Words: a host is *sealed* when all pieces of its machine's description have come and the groups are computed.
 * Rule: who may ask what is decided here, by the sender that the bus names; everything else is kernel behaviour.
 */
import {
  call,
  deviceOf,
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
  type HostSetup,
  type MethodTable,
  type Op,
  type Request,
  type Surroundings,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { devTree } from './dev-nodes.js';
import { VFIO_PCI } from './drivers.js';
import { listNames, ownerOf, readFile, readLink, statOf, writeFile } from './files-io.js';
import { bindBootDrivers, buildHost } from './host-topology.js';
import type { Device, Host } from './host.js';
import { brokenInvariants, describeHost, figuresOf } from './invariants.js';
import { MachineText } from './machine-text.js';
import { fixedDir, type Node } from './nodes.js';
import { claimForContext, releaseFromContext } from './ownership.js';
import { offer } from './probing.js';
import { decodeHost, decodeSetup, encodeHost, encodeMeaning, encodeSetup } from './state.js';
import { sysfsTree } from './sysfs.js';

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
        resolve: (_req, { path }) => ownerOf(this.root(), path),
        stat: (_req, { path }) => statOf(this.root(), path),
        sysfsWrite: (_req, { path, data }) => writeFile(this.root(), path, data),
        sysfsRead: (_req, { path }) => readFile(this.root(), path),
        readlink: (_req, { path }) => readLink(this.root(), path),
        listdir: (_req, { path }) => listNames(this.root(), path),
        cdevClaim: ({ from }, { bdf }) => this.cdevClaim(from, bdf),
        cdevRelease: ({ from }, { bdf }) => this.cdevRelease(from, bdf),
        claimDma: (req, { bdf, context }) => this.claimDma(req, bdf, context),
        releaseDma: (req, { bdf, context }) => this.releaseDma(req, bdf, context),
        vfioDevices: () => this.vfioDevices(),
      }),
      implement(
        { clientGone: sysApi.clientGone },
        { clientGone: ({ from }, { client }) => (from === LAB ? this.surroundings.forget(client) : undefined) },
      ),
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  /** The tree of paths; empty before there is a host. */
  private root(): Node {
    const { host } = this;
    return fixedDir(host ? { dev: () => devTree(host), sys: () => sysfsTree(host) } : {});
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
    yield* call(IOMMU, iommuApi.setup, { kind: setup.iommu, functions: behindIommu(host) });
    this.host = host;
    this.sealing = false;
    for (const device of forVfio) yield* offer(host, device, host.drivers.get(VFIO_PCI)!);
    return { error: '', functions: host.devices.size, groups: host.groups.size };
  }

  /**
   * A cdev is being bound: EPERM for anyone but the device's own actor, ENODEV when vfio-pci is not bound. A device that
   * is being removed may still be bound by who has it open (b056).
   */
  private cdevClaim(from: Address, bdf: string): Result<undefined> {
    if (deviceOf(from) !== bdf) return fail('EPERM');
    const device = this.host?.devices.get(bdf);
    if (!device?.vfio) return fail('ENODEV');
    device.cdevClaims++;
    return ok(undefined);
  }

  private cdevRelease(from: Address, bdf: string): void {
    const device = deviceOf(from) === bdf ? this.host?.devices.get(bdf) : undefined;
    if (device && device.cdevClaims > 0) device.cdevClaims--;
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

  /** Also those that are being probed or removed: a client that is gone may be what the remove waits for. */
  private vfioDevices(): string[] {
    const devices: Device[] = [...(this.host?.devices.values() ?? [])];
    return devices.filter(({ vfio }) => vfio !== undefined).map(({ bdf }) => bdf);
  }

  encode(w: ByteWriter, view: View): void {
    const { host } = this;
    w.bool(host !== undefined);
    if (view === 'meaning') return host && encodeMeaning(w, host);
    w.list(this.text.all, (piece) => w.str(piece));
    if (!host) return;
    encodeSetup(w, host.setup);
    encodeHost(w, host);
  }

  decode(r: ByteReader): void {
    const sealed = r.bool();
    r.list(() => r.str()).forEach((piece, part) => this.text.add(part, piece));
    if (!sealed) return;
    const host = buildHost(this.text.joined(), decodeSetup(r));
    if (typeof host === 'string') throw new Error(`the snapshot's machine cannot be built any more: ${host}`);
    decodeHost(r, host);
    this.host = host;
  }

  check(): string[] {
    return this.host ? brokenInvariants(this.host) : [];
  }

  figures(): Record<string, number> {
    return figuresOf(this.host);
  }

  describe(): string[] {
    if (this.host) return describeHost(this.host);
    return [this.text.count === 0 ? 'no host' : `no host; ${this.text.count} pieces of a machine are loaded`];
  }
}

/** Functions that have a group, in address order. At most 16,384 of them, about 400 kB: one message. */
const behindIommu = (host: Host): { bdf: string; group: number }[] =>
  [...host.devices.values()].flatMap(({ bdf, group }) => (group ? [{ bdf, group: group.id }] : []));
