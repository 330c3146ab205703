/**
 * Placements of a cluster simulation carried out on emulated hosts, by the calls that a virtual machine monitor makes.
 *
 * Words: a placement is *refused* when a call fails that the simulation had thought would not: that is a mistake of the model.
 * Rule: every host begins as it boots, and gets all pods that the simulation had put on it, in their order. A pod is a process
 * of a user of its own, whose locked memory is limited as the host's shape says.
 */
import type { Process } from '@vfiolab/client';
import { type Names, type PlacedPod, sameGroups, type SampledHost, type Shape } from '@vfiolab/cluster';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '@vfiolab/uapi';
import { CarriedHost, type Machine, Refused } from './carried-host.js';

export interface Refusal {
  readonly host: string;
  readonly pod: string;
  readonly call: string;
  readonly errno: string;
}

export interface Carried {
  /** Placements that were drawn, and pods that were carried out: those before them on their hosts too. */
  readonly sampled: number;
  readonly carried: number;
  readonly hosts: number;
  /** Devices that were opened through vfio-pci, and MiB mapped for them. */
  readonly devices: number;
  readonly mappedMib: number;
  /** Placements that the kernel refused, and the first of them. */
  readonly refused: number;
  readonly refusals: readonly Refusal[];
  /** Shapes whose groups are others on the machine, and invariants that broke: each one is a mistake too. */
  readonly problems: readonly string[];
}

/** Refusals that are told one by one. */
const MOST_TOLD = 1000;
const READ_WRITE = 6;
const MIB = 2 ** 20;
/** Sizes of pages, the largest first: as log2 of bytes. */
const PAGE_SHIFTS = [30, 21, 12] as const;
/** Users of pods begin here. */
const FIRST_UID = 10_000;

export class Carrier {
  private readonly told = new Set<Shape>();
  private readonly refusals: Refusal[] = [];
  private readonly problems: string[] = [];
  private readonly count = { sampled: 0, carried: 0, hosts: 0, devices: 0, mappedMib: 0, refused: 0 };
  private readonly vfKind: number | undefined;

  constructor(
    kinds: Names,
    private readonly machineOf: (shape: Shape) => Machine,
  ) {
    this.vfKind = kinds.find('vf');
  }

  get result(): Carried {
    return { ...this.count, refusals: this.refusals, problems: this.problems };
  }

  async carry({ host: name, shape, pods }: SampledHost): Promise<void> {
    const host = await CarriedHost.boot(this.machineOf(shape), shape);
    this.count.hosts++;
    if (!this.told.has(shape)) await this.checkGroups(host, shape);
    for (const [i, pod] of pods.entries()) {
      this.count.carried++;
      if (pod.drawn) this.count.sampled++;
      try {
        await this.place(host, shape, pod, i);
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const { call, errno } = error;
        this.count.refused++;
        if (this.refusals.length < MOST_TOLD) this.refusals.push({ host: name, pod: pod.pod, call, errno });
      }
    }
    for (const each of host.test.broken()) this.problems.push(`${name}: ${each}`);
  }

  /** The groups of the lab's kernel are the shape's. */
  private async checkGroups(host: CarriedHost, shape: Shape): Promise<void> {
    this.told.add(shape);
    const groups: (string | undefined)[] = [];
    for (const bdf of host.bdfs) groups.push(await host.groupOf(bdf));
    if (groups.includes(undefined) || !sameGroups(shape, groups))
      this.problems.push(`${shape.name}: its machine has other IOMMU groups`);
  }

  private async place(host: CarriedHost, shape: Shape, { request, picks }: PlacedPod, i: number): Promise<void> {
    const functions: string[] = [];
    for (const { slot, units } of picks) {
      const bdf = host.bdfs[slot]!;
      // VFs are counted; of every other device a pod has the function itself, or shares it.
      const vfs = this.isPf(shape, slot) ? await host.takeVfs(bdf, units, shape.slots[slot]!.units) : [bdf];
      functions.push(...vfs);
    }
    if (!request.ask.passthrough) {
      for (const bdf of functions) await host.useNatively(bdf);
      return;
    }
    const nodes: string[] = [];
    for (const bdf of functions) nodes.push(await host.toVfio(bdf));
    const credentials = {
      uid: FIRST_UID + i,
      caps: 0,
      memlock: Math.min(shape.memlock * MIB, Number.MAX_SAFE_INTEGER),
    };
    const pod = await host.test.process(`pod${i}`, credentials);
    await this.open(host, pod, nodes, request.pinned);
  }

  /** As a virtual machine monitor does it: devices bound to one iommufd and attached to one IOAS, which has the guest's memory. */
  private async open(host: CarriedHost, pod: Process, nodes: readonly string[], pinned: number): Promise<void> {
    const iommufd = await host.must('open /dev/iommu', pod.open('/dev/iommu'));
    const { out, errno } = await host.test.run(pod.ioctl(iommufd, IOMMU_IOAS_ALLOC));
    if (errno) throw new Refused('IOMMU_IOAS_ALLOC', errno);
    const ioas = out.out_ioas_id;
    for (const node of nodes) {
      const device = await host.must(`open ${node}`, pod.open(node));
      const bound = await host.test.run(pod.ioctl(device, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd }));
      if (bound.errno) throw new Refused(`VFIO_DEVICE_BIND_IOMMUFD of ${node}`, bound.errno);
      const attach = pod.ioctl(device, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: ioas });
      const attached = await host.test.run(attach);
      if (attached.errno) throw new Refused(`VFIO_DEVICE_ATTACH_IOMMUFD_PT of ${node}`, attached.errno);
      this.count.devices++;
    }
    await this.map(host, pod, iommufd, ioas, pinned);
    this.count.mappedMib += pinned;
  }

  /** In the largest pages that there are: what is pinned and charged is the same, and quicker. */
  private async map(host: CarriedHost, pod: Process, fd: number, ioas_id: number, mib: number): Promise<void> {
    let rest = mib * MIB;
    for (const pageShift of PAGE_SHIFTS) {
      const length = rest - (rest % 2 ** pageShift);
      if (length === 0) continue;
      rest -= length;
      const va = await host.must(`mmap of ${length / MIB} MiB`, pod.mmap(length, { pageShift }));
      const sizes = { length: BigInt(length), user_va: BigInt(va) };
      const { errno } = await host.test.run(pod.ioctl(fd, IOMMU_IOAS_MAP, { ioas_id, flags: READ_WRITE, ...sizes }));
      if (errno) throw new Refused(`IOMMU_IOAS_MAP of ${length / MIB} MiB`, errno);
    }
  }

  private isPf(shape: Shape, slot: number): boolean {
    return shape.slots[slot]!.kind === this.vfKind;
  }
}
