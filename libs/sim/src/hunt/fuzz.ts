/**
 * Random calls at every ioctl number of /dev/iommu.
 *
 * Words: a *life* is what happens between an open of /dev/iommu and the closes of all files that came from it.
 * Rule: no call stops a service or hangs; a refused call changes nothing that a client could tell (I25), and answers an errno that
 * is documented; after each life the host is as before.
 */
import { type Address, IOMMU, IOMMUFD, type IoctlReply, PAGES, pagesApi, type Segment, sysApi } from '@vfiolab/core';
import {
  type AnyIoctlDef,
  compatIoctls,
  decode,
  encode,
  type Errno,
  errnoName,
  type IoctlDef,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VIOMMU_TYPE_SELFTEST,
  iommufdIoctls,
  iommuTestArms,
  type KernelProfile,
  type Result,
} from '@vfiolab/uapi';
import { ROOT } from '@vfiolab/client';
import { ArgumentMaker, MEMFD_FD, STRUCT_AT } from './arguments.js';
import { Chance } from './chance.js';
import { mayAnswer, mayLeaveTraces } from './documented.js';
import { SyncClient } from './sync-client.js';
import { APERTURE, MEMORY, type World } from './world.js';

export interface FuzzOptions {
  readonly world: World;
  readonly profile: KernelProfile;
  readonly calls: number;
  readonly seed: number;
}

export interface FuzzReport {
  readonly calls: number;
  readonly findings: readonly string[];
  /** How often each ioctl was answered how: `name errno`, `name ok`. */
  readonly answers: ReadonlyMap<string, number>;
}

const DEFINITIONS: readonly AnyIoctlDef[] = Object.values({ ...iommufdIoctls, ...compatIoctls });
const IOMMU_TEST = IOMMU_TEST_CMD as unknown as AnyIoctlDef;
const MAKES_FILES: ReadonlySet<string> = new Set(['IOMMU_FAULT_QUEUE_ALLOC', 'IOMMU_VEVENTQ_ALLOC', 'IOMMU_TEST_CMD']);
const WATCHED: readonly Address[] = [IOMMUFD, PAGES, IOMMU];
/** Calls of a life at most. */
const LIFE = 400;
const MOST_FINDINGS = 20;

interface File {
  readonly fd: number;
  readonly token: string;
  readonly owner: Address;
}

export function fuzz({ world, profile, calls, seed }: FuzzOptions): FuzzReport {
  const fuzzer = new Fuzzer(world, profile, new Chance(seed));
  return fuzzer.run(calls);
}

class Fuzzer {
  private readonly client: SyncClient;
  private readonly va: bigint;
  private readonly maker: ArgumentMaker;
  private readonly findings: string[] = [];
  private readonly answers = new Map<string, number>();
  /** A file in memory that lives through all lives. */
  private readonly memfd: File;
  private files: File[] = [];
  private before: Buffer[] = [];

  constructor(
    private readonly world: World,
    profile: KernelProfile,
    private readonly chance: Chance,
  ) {
    this.client = new SyncClient(world.host.host, 'fuzzer');
    this.must(this.client.call(PAGES, pagesApi.procStart, ROOT));
    const va = this.must(this.client.call(PAGES, pagesApi.mmap, { va: 0, length: MEMORY, prot: 3, pageShift: 12 }));
    this.must(this.client.call(PAGES, pagesApi.memWrite, { va, data: new Uint8Array(MEMORY).fill(0xff) }));
    this.va = BigInt(va);
    const token = this.must(this.client.call(PAGES, pagesApi.memfdCreate, { flags: 0 }));
    this.must(this.client.call(PAGES, pagesApi.fallocate, { token, mode: 0, offset: 0, length: MEMORY }));
    this.memfd = { fd: MEMFD_FD, token, owner: PAGES };
    this.maker = new ArgumentMaker(chance, profile, BigInt(va));
  }

  private must<T>(r: Result<T>): T {
    if (!r.ok) throw new Error(`the hunt's own call failed: ${r.errno}`);
    return r.value;
  }

  run(calls: number): FuzzReport {
    const rest = this.world.figures();
    let done = 0;
    while (done < calls && this.findings.length < MOST_FINDINGS) {
      const life = Math.min(calls - done, 1 + this.chance.below(LIFE));
      this.live(life);
      done += life;
      if (this.world.figures() !== rest) this.findings.push(`call ${done}: left over:\n${this.world.figures()}`);
    }
    return { calls: done, findings: this.findings, answers: this.answers };
  }

  private live(calls: number): void {
    const opened = this.must(this.client.call(IOMMUFD, sysApi.open, { path: '/dev/iommu', flags: 2 }));
    const main: File = { fd: 0, token: opened.token, owner: IOMMUFD };
    this.files = [];
    this.maker.forget();
    if (!this.chance.once(4)) this.prepare(main.token);
    this.look();
    for (let i = 0; i < calls; i++) {
      if (this.chance.once(60)) this.closeOne();
      else this.ioctl(main.token);
    }
    this.findings.push(...this.world.wrong());
    for (const { token } of [...this.files, main]) this.must(this.client.call(IOMMUFD, sysApi.close, { token }));
    this.findings.push(...this.world.wrong());
  }

  /** What most ids will name: an IOAS with something mapped, a mock device, what it is attached to, and a vIOMMU. */
  private prepare(token: string): void {
    const made = (def: IoctlDef, fields: Record<string, unknown>): void => {
      const bytes = encode(def.struct, { size: def.struct.size, ...fields });
      const segments = [{ va: STRUCT_AT, writable: true, bytes }];
      const reply = this.client.call(IOMMUFD, sysApi.ioctl, { token, cmd: def.nr, arg: STRUCT_AT, segments, fds: [] });
      this.learn(def, reply);
    };
    made(IOMMU_IOAS_ALLOC as unknown as IoctlDef, {});
    made(IOMMU_IOAS_MAP as unknown as IoctlDef, {
      ioas_id: 1,
      flags: 7,
      user_va: this.va,
      length: 16384n,
      iova: APERTURE,
    });
    made(IOMMU_TEST_CMD as unknown as IoctlDef, { op: IOMMU_TEST_OP_MOCK_DOMAIN, id: 1, u: new Uint8Array(48) });
    made(IOMMU_HWPT_ALLOC as unknown as IoctlDef, { dev_id: 3, pt_id: 1, flags: 1 });
    made(IOMMU_VIOMMU_ALLOC as unknown as IoctlDef, { type: IOMMU_VIOMMU_TYPE_SELFTEST, dev_id: 3, hwpt_id: 5 });
  }

  private closeOne(): void {
    const [file] = this.files.splice(this.chance.below(this.files.length + 1), 1);
    if (!file) return;
    this.must(this.client.call(IOMMUFD, sysApi.close, { token: file.token }));
    this.look();
  }

  private look(): void {
    this.before = WATCHED.map((a) => this.world.meaning(a));
  }

  private ioctl(token: string): void {
    const { chance } = this;
    const def: AnyIoctlDef = chance.once(4) ? IOMMU_TEST : chance.pick(DEFINITIONS);
    const segments = def.kind === 'struct' ? this.maker.segments(def as IoctlDef) : [];
    const cmd = chance.once(50) ? 0x3b00 + chance.below(256) : def.nr;
    const arg = def.kind === 'plain' ? chance.below(12) : chance.once(100) ? 0 : STRUCT_AT;
    const fds = [this.memfd, ...this.files];
    const method = MAKES_FILES.has(def.name) && !chance.once(8) ? sysApi.ioctlFile : sysApi.ioctl;
    const name = DEFINITIONS.find((d) => d.nr === cmd)?.name ?? 'unknown';
    const reply = this.answered(name, segments, () =>
      this.client.call(IOMMUFD, method, { token, cmd, arg, segments, fds }),
    );
    this.judge(name, reply, segments);
    if (reply.errno === 0 && def.nr === cmd) this.learn(def, reply);
    if (reply.file) this.files.push({ fd: this.files.length, token: reply.file.token, owner: IOMMUFD });
  }

  /** What stops a service is told with the call that did it. */
  private answered(name: string, segments: readonly Segment[], call: () => IoctlReply): IoctlReply {
    try {
      return call();
    } catch (e) {
      throw new Error(`${name}; ${structOf(segments)}: ${(e as Error).message}`, { cause: e });
    }
  }

  /** Remembers the ids that a call told. */
  private learn(def: AnyIoctlDef, { writes }: IoctlReply): void {
    const written = writes.find(({ va }) => va === STRUCT_AT);
    if (def.kind !== 'struct' || !written || written.bytes.length < def.struct.size) return;
    const out: Record<string, unknown> = decode(def.struct, written.bytes);
    const arm = out['u'] instanceof Uint8Array ? iommuTestArms.get(out['op'] as number) : undefined;
    const told = { ...out, ...(arm && decode(arm, out['u'] as Uint8Array)) };
    for (const [name, value] of Object.entries(told)) {
      const kind = /^out_(\w+)_id$/.exec(name)?.[1];
      if (kind && typeof value === 'number') this.maker.learn(kind, value);
    }
  }

  private judge(name: string, reply: IoctlReply, segments: readonly Segment[]): void {
    const errno = errnoName(reply.errno);
    const key = `${name} ${errno ?? 'ok'}`;
    this.answers.set(key, (this.answers.get(key) ?? 0) + 1);
    const before = this.before;
    this.look();
    if (!errno) return this.verify(name, segments);
    if (!mayAnswer(name, errno)) this.find(`${name} answers ${errno}, not documented`, segments);
    const changed = WATCHED.filter((_, i) => !before[i]!.equals(this.before[i]!));
    if (changed.length > 0 && !this.mayChange(name, errno, segments))
      this.find(`${name} answers ${errno} and changes ${changed.join(', ')}`, segments);
  }

  private mayChange(name: string, errno: Errno, segments: readonly Segment[]): boolean {
    const struct = segments[0]?.bytes;
    const op =
      name === 'IOMMU_TEST_CMD' && struct && struct.length >= 8
        ? ` ${new DataView(struct.buffer, struct.byteOffset).getUint32(4, true)}`
        : '';
    return mayLeaveTraces(name + op, errno);
  }

  private verify(name: string, segments: readonly Segment[]): void {
    for (const broken of this.world.broken()) this.find(`${name}: ${broken}`, segments);
  }

  private find(what: string, segments: readonly Segment[]): void {
    this.findings.push(`${what}; ${structOf(segments)}`);
  }
}

const structOf = ([first]: readonly Segment[]): string =>
  `struct ${first ? Buffer.from(first.bytes.subarray(0, 96)).toString('hex') : 'missing'}`;
