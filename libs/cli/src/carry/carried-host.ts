/**
 * One host on which placements are carried out: an emulated machine in virtual time, and root's part of the work.
 *
 * Words: a device is *native* while its host's own driver has it. The *members* of a group are all functions in it.
 * Rule: a device that the simulation gave to a pod is taken from nobody: only devices that no pod uses leave their drivers.
 */
import type { Process } from '@vfiolab/client';
import type { Shape } from '@vfiolab/cluster';
import { TestHost } from '@vfiolab/sim';
import type { Result } from '@vfiolab/uapi';

/** A machine that a shape's devices are on. */
export interface Machine {
  /** The description, for the lab. */
  readonly text: string;
  readonly iommu: string;
  /** Address of each slot. */
  readonly bdfs: readonly string[];
}

/** The kernel does not do what the simulation said it would. */
export class Refused extends Error {
  constructor(
    /** The call, with what it was for. */
    readonly call: string,
    readonly errno: string,
  ) {
    super(`${call}: ${errno}`);
  }
}

const FRAMES_PER_MIB = 256;
/** MiB that the kernel and its programs have besides the pods. */
const OWN_MEMORY = 4096;
/** The most that a lab's host has. */
const MOST_FRAMES = 2 ** 36;
const OPEN_TO_ALL = 0o666;
const DEVICES = '/sys/bus/pci/devices';

export const framesOf = ({ memory, hugepages }: Pick<Shape, 'memory' | 'hugepages'>): number => {
  const mib = [...memory, ...hugepages].reduce((sum, each) => sum + each, OWN_MEMORY);
  return Math.min(mib * FRAMES_PER_MIB, MOST_FRAMES);
};

export class CarriedHost {
  /** Devices that pods use through the host's own drivers. */
  private readonly native = new Set<string>();
  /** Drivers that devices left. */
  private readonly left = new Map<string, string>();
  /** VFs of each PF that nobody has got yet. */
  private readonly spare = new Map<string, string[]>();

  private constructor(
    readonly test: TestHost,
    readonly root: Process,
    readonly bdfs: readonly string[],
  ) {}

  static async boot({ text, iommu, bdfs }: Machine, shape: Shape): Promise<CarriedHost> {
    const test = await TestHost.boot({ machine: text, iommu, frames: framesOf(shape) });
    const root = await test.process('root');
    const host = new CarriedHost(test, root, bdfs);
    await host.must('chmod /dev/iommu', root.chmod('/dev/iommu', OPEN_TO_ALL));
    return host;
  }

  async must<T>(call: string, work: Promise<Result<T>>): Promise<T> {
    const answer = await this.test.run(work);
    if (!answer.ok) throw new Refused(call, answer.errno);
    return answer.value;
  }

  /** The IOMMU group of a function; undefined: it is in none. */
  async groupOf(bdf: string): Promise<string | undefined> {
    const link = await this.test.run(this.root.readlink(`${DEVICES}/${bdf}/iommu_group`));
    return link.ok ? lastOf(link.value) : undefined;
  }

  /** As many VFs of a PF that nobody has; the first time they are switched on, `all` of them. */
  async takeVfs(pf: string, count: number, all: number): Promise<string[]> {
    let spare = this.spare.get(pf);
    if (!spare) this.spare.set(pf, (spare = await this.switchOn(pf, all)));
    if (spare.length < count) throw new Refused(`${count} more VFs of ${pf}`, 'ENODEV');
    return spare.splice(0, count);
  }

  private async switchOn(pf: string, all: number): Promise<string[]> {
    const file = `${DEVICES}/${pf}/sriov_numvfs`;
    const now = await this.must(`read ${file}`, this.root.sysfsRead(file));
    if (Number(now) === 0) await this.must(`write ${all} > ${file}`, this.root.sysfsWrite(file, String(all)));
    const links = await this.must(`readdir ${pf}`, this.root.listdir(`${DEVICES}/${pf}`));
    const numbers = links
      .flatMap((name) => /^virtfn(\d+)$/.exec(name)?.[1] ?? [])
      .sort((a, b) => Number(a) - Number(b));
    const vfs: string[] = [];
    for (const number of numbers)
      vfs.push(
        lastOf(await this.must(`readlink virtfn${number}`, this.root.readlink(`${DEVICES}/${pf}/virtfn${number}`))),
      );
    return vfs;
  }

  /** A pod uses the device through the host's own driver; one that left it, when another of its group was passed through, goes back. */
  async useNatively(bdf: string): Promise<void> {
    this.native.add(bdf);
    const driver = this.left.get(bdf);
    if (driver === undefined || (await this.driverOf(bdf)) !== undefined) return;
    await this.must(`bind ${bdf} to ${driver}`, this.root.sysfsWrite(`/sys/bus/pci/drivers/${driver}/bind`, bdf));
  }

  /** vfio-pci gets the device, and all that no pod uses of its group leaves its driver. Answers its node. */
  async toVfio(bdf: string): Promise<string> {
    for (const member of await this.members(bdf)) if (!this.native.has(member)) await this.release(member);
    const override = `${DEVICES}/${bdf}/driver_override`;
    await this.must(`write vfio-pci > ${override}`, this.root.sysfsWrite(override, 'vfio-pci'));
    if ((await this.driverOf(bdf)) !== 'vfio-pci')
      await this.must(`bind ${bdf} to vfio-pci`, this.root.sysfsWrite('/sys/bus/pci/drivers/vfio-pci/bind', bdf));
    const [node] = await this.must(`readdir ${bdf}/vfio-dev`, this.root.listdir(`${DEVICES}/${bdf}/vfio-dev`));
    const path = `/dev/vfio/devices/${node}`;
    await this.must(`chmod ${path}`, this.root.chmod(path, OPEN_TO_ALL));
    return path;
  }

  /** It leaves its host's driver; ports keep theirs, and so does what is passed through. */
  private async release(bdf: string): Promise<void> {
    const driver = await this.driverOf(bdf);
    if (driver === undefined || driver === 'pcieport' || driver === 'vfio-pci') return;
    this.left.set(bdf, driver);
    await this.must(`unbind ${bdf}`, this.root.sysfsWrite(`${DEVICES}/${bdf}/driver/unbind`, bdf));
  }

  private members(bdf: string): Promise<string[]> {
    return this.must(`readdir ${bdf}/iommu_group`, this.root.listdir(`${DEVICES}/${bdf}/iommu_group/devices`));
  }

  private async driverOf(bdf: string): Promise<string | undefined> {
    const link = await this.test.run(this.root.readlink(`${DEVICES}/${bdf}/driver`));
    return link.ok ? lastOf(link.value) : undefined;
  }
}

const lastOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
