/**
 * Random calls at every ioctl number of a function's cdev, bound to an iommufd or not.
 *
 * Rule: as for /dev/iommu; and the function, its group and the IOMMU are as before when both files are closed.
 */
import {
  type Address,
  GROUPS,
  groupsApi,
  IOMMU,
  IOMMUFD,
  type IoctlReply,
  PAGES,
  pagesApi,
  type Segment,
  sysApi,
} from '@vfiolab/core';
import { ROOT } from '@vfiolab/client';
import { type AnyIoctlDef, deviceIoctls, encode, errnoName, IOMMU_IOAS_ALLOC, type Result } from '@vfiolab/uapi';
import { ArgumentMaker, IOMMUFD_FD, STRUCT_AT } from './arguments.js';
import { Chance } from './chance.js';
import { mayAnswer, mayLeaveTraces } from './documented.js';
import type { FuzzOptions, FuzzReport } from './fuzz.js';
import { SyncClient } from './sync-client.js';
import { MEMORY } from './world.js';

const DEFINITIONS: readonly AnyIoctlDef[] = Object.values(deviceIoctls);
const LIFE = 100;

export const fuzzDevice = (options: FuzzOptions): FuzzReport => new DeviceFuzzer(options).run();

function must<T>(r: Result<T>): T {
  if (!r.ok) throw new Error(`the hunt's own call failed: ${r.errno}`);
  return r.value;
}

class DeviceFuzzer {
  private readonly client: SyncClient;
  private readonly chance: Chance;
  private readonly maker: ArgumentMaker;
  private readonly path: string;
  private readonly owner: Address;
  private readonly findings: string[] = [];
  private readonly answers = new Map<string, number>();

  constructor(private readonly options: FuzzOptions) {
    const { world, profile, seed } = options;
    this.chance = new Chance(seed);
    this.client = new SyncClient(world.host.host, 'device fuzzer');
    must(this.client.call(PAGES, pagesApi.procStart, ROOT));
    const va = must(this.client.call(PAGES, pagesApi.mmap, { va: 0, length: MEMORY, prot: 3, pageShift: 12 }));
    this.maker = new ArgumentMaker(this.chance, profile, BigInt(va));
    const directory = `/sys/bus/pci/devices/${world.bdfs[0]!}/vfio-dev`;
    const [minor] = must(this.client.call(GROUPS, groupsApi.listdir, { path: directory }));
    this.path = `/dev/vfio/devices/${minor}`;
    this.owner = must(this.client.call(GROUPS, groupsApi.resolve, { path: this.path, flags: 2 })).owner;
  }

  run(): FuzzReport {
    const { world, calls } = this.options;
    const rest = world.figures();
    let done = 0;
    while (done < calls && this.findings.length < 20) {
      const life = Math.min(calls - done, 1 + this.chance.below(LIFE));
      this.live(life);
      done += life;
      if (world.figures() !== rest) this.findings.push(`call ${done}: left over:\n${world.figures()}`);
    }
    return { calls: done, findings: this.findings, answers: this.answers };
  }

  private live(calls: number): void {
    const iommufd = must(this.client.call(IOMMUFD, sysApi.open, { path: '/dev/iommu', flags: 2 })).token;
    const device = must(this.client.call(this.owner, sysApi.open, { path: this.path, flags: 2 })).token;
    const bytes = encode(IOMMU_IOAS_ALLOC.struct, { size: 12 });
    const alloc = { token: iommufd, cmd: IOMMU_IOAS_ALLOC.nr, arg: STRUCT_AT, fds: [] };
    this.client.call(IOMMUFD, sysApi.ioctl, { ...alloc, segments: [{ va: STRUCT_AT, writable: true, bytes }] });
    this.maker.forget();
    this.maker.learn('ioas', 1);
    for (let i = 0; i < calls; i++) this.ioctl(device, iommufd);
    this.findings.push(...this.options.world.wrong());
    must(this.client.call(this.owner, sysApi.close, { token: device }));
    must(this.client.call(IOMMUFD, sysApi.close, { token: iommufd }));
  }

  private ioctl(token: string, iommufd: string): void {
    const { chance } = this;
    const def = chance.pick(DEFINITIONS);
    const segments = def.kind === 'struct' ? this.maker.segments(def) : [];
    const cmd = chance.once(30) ? 0x3b00 + chance.below(256) : def.nr;
    const fds = [{ fd: IOMMUFD_FD, token: iommufd, owner: IOMMUFD }];
    const watched = [this.owner, GROUPS, IOMMU, IOMMUFD];
    const before = watched.map((a) => this.options.world.meaning(a));
    const reply = this.client.call(this.owner, sysApi.ioctl, { token, cmd, arg: STRUCT_AT, segments, fds });
    const changed = watched.filter((a, i) => !this.options.world.meaning(a).equals(before[i]!));
    this.judge(DEFINITIONS.find((d) => d.nr === cmd)?.name ?? 'unknown', reply, changed, segments);
  }

  private judge(name: string, reply: IoctlReply, changed: readonly Address[], segments: readonly Segment[]): void {
    const errno = errnoName(reply.errno);
    const key = `${name} ${errno ?? 'ok'}`;
    this.answers.set(key, (this.answers.get(key) ?? 0) + 1);
    if (!errno) return;
    const struct = Buffer.from(segments[0]?.bytes ?? []).toString('hex');
    if (!mayAnswer(name, errno)) this.findings.push(`${name} answers ${errno}, not documented; struct ${struct}`);
    if (changed.length > 0 && !mayLeaveTraces(name, errno))
      this.findings.push(`${name} answers ${errno} and changes ${changed.join(', ')}; struct ${struct}`);
  }
}
