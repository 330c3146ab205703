/**
 * Core of the lab service: gives instances their authority, makes the host, and ends clients.
 *
 * Words: an *operator* is a client whose name begins with `operator`; the bus lets nobody else use such a name.
 * Rule: only operators make a host; a client is ended by an operator or by itself. A refused request changes nothing.
 */
import {
  bootApi,
  call,
  CONTAINER,
  containerApi,
  clientAddress,
  deviceAddress,
  type DeviceFault,
  faultError,
  GROUPS,
  groupsApi,
  implement,
  IOMMUFD,
  iommufdApi,
  isClient,
  labApi,
  methodTable,
  PAGES,
  pagesApi,
  sysApi,
  type Address,
  type ByteReader,
  type ByteWriter,
  type Core,
  type MethodTable,
  type Op,
  type Registration,
  type ReplyOf,
  type Request,
  type Surroundings,
  type View,
} from '@vfiolab/core';
import { fail, type Result } from '@vfiolab/uapi';
import { decodePlan, encodePlan, planError, type HostPlan } from './host-plan.js';
import { Instances, NO_EPOCH } from './instances.js';
import { Placements } from './placements.js';

type Created = ReplyOf<typeof labApi.createHost>;
type Status = ReplyOf<typeof labApi.status>;

const OPERATOR = clientAddress('operator');
const isOperator = (from: Address): boolean => from.startsWith(OPERATOR);
const refused = (error: string): Created => ({ error, functions: 0, groups: 0 });

export class LabCore implements Core {
  readonly service = 'lab';
  readonly methods: MethodTable;
  private readonly instances = new Instances();
  private readonly placements = new Placements();
  /** The host that was made. */
  private host: HostPlan | undefined;
  /** A host is being made. */
  private creating = false;
  private surroundings!: Surroundings;

  constructor() {
    this.methods = methodTable(
      implement({ register: bootApi.register }, { register: (req, { instance }) => this.register(req, instance) }),
      implement(labApi, {
        loadMachine: ({ from }, { part, text }) => this.loadMachine(from, part, text),
        createHost: ({ from }, plan) => this.createHost(from, plan),
        endClient: ({ from }, { client }) => this.endClient(from, client),
        status: () => this.status(),
        fault: ({ from }, fault) => this.fault(from, fault),
        made: () => this.host?.machine ?? '',
        place: ({ from }, { host, instance, known }) =>
          isOperator(from) ? this.placements.place(host, instance, known) : fail('EPERM'),
        placements: () => this.placed(),
      }),
    );
  }

  join(surroundings: Surroundings): void {
    this.surroundings = surroundings;
  }

  /** Clients are no actors: they get no epoch and take no place. */
  private register({ from, now }: Request, instance: string): Registration {
    const epoch = isClient(from) ? NO_EPOCH : this.instances.register(from, instance, now);
    return { epoch, ...this.surroundings.witnessed(from) };
  }

  /** EPERM: no operator; EBUSY: there is a host; else what `groups` says of the piece. */
  private *loadMachine(from: Address, part: number, text: string): Op<Result<void>> {
    if (!isOperator(from)) return fail('EPERM');
    if (this.host || this.creating) return fail('EBUSY');
    return yield* call(GROUPS, groupsApi.load, { part, text });
  }

  /** The groups come first: they are what can be wrong, and nothing is made when they are. */
  private *createHost(from: Address, plan: HostPlan): Op<Created> {
    const error = this.creationError(from, plan);
    if (error !== '') return refused(error);
    this.creating = true;
    const { machine, profile, iommu, allowUnsafeInterrupts, vfioContainer, kvm, memoryCards, teaching } = plan;
    const sealed = yield* call(GROUPS, groupsApi.seal, {
      machine,
      profile,
      iommu,
      allowUnsafeInterrupts,
      vfioContainer,
      teaching,
      kvm,
      memoryCards,
      pageShift: plan.pageShift,
    });
    if (sealed.error === '') {
      const { frames, pageShift, hugetlb } = plan;
      yield* call(PAGES, pagesApi.setup, { frames, pageShift, hugetlb, powerpc: sealed.powerpc });
      yield* call(IOMMUFD, iommufdApi.setup, { profile, pageShift });
      const unsafe = allowUnsafeInterrupts !== 0;
      yield* call(CONTAINER, containerApi.setup, {
        profile,
        iommu,
        allowUnsafeInterrupts: unsafe,
        pageShift: plan.pageShift,
        frames: plan.frames,
        teaching,
      });
      this.host = plan;
    }
    this.creating = false;
    return sealed;
  }

  private creationError(from: Address, plan: HostPlan): string {
    if (!isOperator(from)) return `${from} is no operator: only a client named operator... may make the host.`;
    if (this.host) return `The host was made already, of machine ${this.host.machine}. Make a new lab for another.`;
    if (this.creating) return 'The host is being made by an earlier request. Wait for its answer.';
    return planError(plan);
  }

  /**
   * Ends a client everywhere, users before what they use: group files (which open devices), device files (DMA stops, then
   * DMA ownership goes), containers and iommufd files (mappings), then memory. Also forgets its sessions. Anyone but an
   * operator or the client itself is ignored.
   */
  private *endClient(from: Address, client: Address): Op<void> {
    if (!isClient(client) || (from !== client && !isOperator(from))) return;
    const devices = yield* call(GROUPS, groupsApi.vfioDevices, undefined);
    for (const to of [GROUPS, ...devices.map(deviceAddress), CONTAINER, IOMMUFD, PAGES])
      yield* call(to, sysApi.clientGone, { client });
    this.surroundings.forget(client);
  }

  /** What is wrong with the request is said here; whether the function can have the fault, by those who know it. */
  private *fault(from: Address, fault: DeviceFault): Op<{ error: string }> {
    if (!isOperator(from)) return { error: `${from} is no operator: only a client named operator... causes faults.` };
    if (!this.host) return { error: 'There is no host yet. Make one first.' };
    const error = faultError(fault);
    return error === '' ? yield* call(GROUPS, groupsApi.deviceFault, fault) : { error };
  }

  private status(): Status {
    return this.instances.sorted().map(([actor, { epoch, name, since }]) => {
      const { seq } = this.surroundings.witnessed(actor);
      return { actor, epoch, instance: name, since, seq };
    });
  }

  private placed(): ReplyOf<typeof labApi.placements> {
    return this.placements.sorted().map(([host, { instance, epoch }]) => ({ host, instance, epoch }));
  }

  encode(w: ByteWriter, view: View): void {
    w.bool(this.host !== undefined);
    if (this.host) encodePlan(w, this.host);
    this.placements.encode(w);
    if (view === 'snapshot') this.instances.encode(w);
  }

  decode(r: ByteReader): void {
    if (r.bool()) this.host = decodePlan(r);
    this.placements.decode(r);
    this.instances.decode(r);
  }

  check(): string[] {
    const stuck = this.creating ? ['a host is still being made though nothing is in flight'] : [];
    return [...stuck, ...this.placements.check(), ...this.instances.check()];
  }

  /** Nothing is held here for a client. */
  figures(): Record<string, number> {
    return {};
  }

  describe(): string[] {
    return [
      this.host ? `host ${this.host.machine}: ${this.host.frames} frames of memory` : 'no host',
      ...this.placed().map(
        ({ host, instance, epoch }) =>
          `host ${host}: ${instance === '' ? 'nowhere' : `on ${instance}`}, epoch ${epoch}`,
      ),
      ...this.status().map(
        ({ actor, epoch, instance, seq }) => `${actor}: epoch ${epoch}, instance ${instance}, record ${seq}`,
      ),
    ];
  }
}
