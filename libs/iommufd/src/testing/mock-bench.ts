/**
 * A host without an IOMMU, where the kernel's self-test has mock devices: one program with /dev/iommu open.
 *
 * Words: `op` runs one op of IOMMU_TEST_CMD and answers its errno and its arm.
 */
import { readFileSync } from 'node:fs';
import {
  type AnyStruct,
  decode,
  encode,
  type Errno,
  type IoctlDef,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_TEST_CMD,
  iommu_test_dmabuf_get,
  iommu_test_mock_domain_flags,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  type KernelProfile,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { IOMMUFD, iommufdApi, LAB } from '@vfiolab/core';
import type { Arguments, Credentials, IoctlAnswer, Process } from '@vfiolab/client';
import { TestHost } from '@vfiolab/sim';
import { rereads } from './reread.js';

const machine = readFileSync(new URL('../../../../test/machines/imac-cometlake.json', import.meta.url), 'utf8');

/** First IOVA of a mock domain, and IOMMU_IOAS_MAP flags. */
export const APERTURE = 0x1000000n;
const FIXED_RW = 7;

export interface MockIds {
  readonly object: number;
  readonly device: number;
  readonly hwpt: number;
}

export class MockBench {
  private nextVa = 0x10_0000_0000;

  private constructor(
    readonly host: TestHost,
    readonly p: Process,
    readonly fd: number,
  ) {}

  static async boot(profile: KernelProfile = '6.12', credentials?: Credentials, iommu = 'none'): Promise<MockBench> {
    const host = await TestHost.boot({ machine, iommu, frames: 1 << 20 });
    const { methods } = host.host.actor(IOMMUFD)!.machine.core;
    methods.get(iommufdApi.setup.id)!.handle({ from: LAB, now: 0, entropy: new Uint8Array(0) }, { profile });
    const p = await host.process('program', credentials);
    const fd = await host.run(p.open('/dev/iommu'));
    if (!fd.ok) throw new Error(`the test's own open failed: ${fd.errno}`);
    return new MockBench(host, p, fd.value);
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.host.run(work);
  }

  async must<T>(work: Promise<Result<T>>): Promise<T> {
    const r = await this.run(work);
    if (!r.ok) throw new Error(`the test's own call failed: ${r.errno}`);
    return r.value;
  }

  ioctl<S extends AnyStruct>(def: IoctlDef<string, S>, fields: Arguments<S> = {}): Promise<IoctlAnswer<S>> {
    return this.run(this.p.ioctl(this.fd, def, fields));
  }

  async errno<S extends AnyStruct>(def: IoctlDef<string, S>, fields: Arguments<S> = {}): Promise<Errno | undefined> {
    return (await this.ioctl(def, fields)).errno;
  }

  async op<S extends AnyStruct>(
    op: number,
    layout: S,
    id: number,
    arm: Partial<StructOf<S>> = {},
  ): Promise<{ errno: Errno | undefined; arm: StructOf<S> }> {
    const u = new Uint8Array(48);
    u.set(encode(layout, arm as never));
    const { errno, out } = await this.ioctl(IOMMU_TEST_CMD, { op, id, u });
    return { errno, arm: decode(layout, out.u) as StructOf<S> };
  }

  async ioas(): Promise<number> {
    return (await this.ioctl(IOMMU_IOAS_ALLOC)).out.out_ioas_id;
  }

  async mock(pt: number, dev_flags = 0): Promise<MockIds> {
    const made = await this.op(IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, iommu_test_mock_domain_flags, pt, { dev_flags });
    if (made.errno) throw new Error(`the test's own mock device: ${made.errno}`);
    const { out_stdev_id: object, out_idev_id: device, out_hwpt_id: hwpt } = made.arm;
    return { object, device, hwpt };
  }

  /** A dma-buf of so many bytes: its fd, or the errno. */
  async dmabuf(length: number): Promise<number | Errno> {
    const u = new Uint8Array(48);
    u.set(encode(iommu_test_dmabuf_get, { length, open_flags: 0 }));
    const { errno, ret } = await this.ioctl(IOMMU_TEST_CMD, { op: IOMMU_TEST_OP_DMABUF_GET, u });
    return errno ?? ret;
  }

  async hwpt(dev_id: number, pt_id: number, flags = 0): Promise<number> {
    const made = await this.ioctl(IOMMU_HWPT_ALLOC, { dev_id, pt_id, flags });
    if (made.errno) throw new Error(`the test's own HWPT: ${made.errno}`);
    return made.out.out_hwpt_id;
  }

  /** Fresh memory on a 2 MiB boundary, far below the addresses that typed ioctls use for their own buffers. */
  async memory(length: number): Promise<bigint> {
    const va = this.nextVa;
    this.nextVa += Math.ceil(length / 0x200000) * 0x200000;
    return BigInt(await this.must(this.p.mmap(length, { va })));
  }

  async map(
    ioas_id: number,
    iova: bigint,
    length: bigint,
    user_va: bigint,
    flags = FIXED_RW,
  ): Promise<Errno | undefined> {
    return this.errno(IOMMU_IOAS_MAP, { ioas_id, iova, length, user_va, flags });
  }

  async pinnedKb(): Promise<number> {
    return (await this.must(this.p.status())).vmPinnedKb;
  }

  /** The state of iommufd, written and read back: both views must be the same as before. */
  async reread(): Promise<boolean> {
    return rereads(this.host);
  }

  /** Everything that is wrong or left over when the program has gone. */
  async afterExit(): Promise<string[]> {
    await this.run(this.p.exit());
    const { objects, contexts, files, dmabufs } = this.host.figures(IOMMUFD);
    const { domains, mappedPages } = this.host.figures('iommu');
    const { pins, stores } = this.host.figures('pages');
    const left = Object.entries({ objects, contexts, files, dmabufs, domains, mappedPages, pins, stores }).filter(
      ([, n]) => n !== 0,
    );
    return [...this.host.broken(), ...left.map(([name, n]) => `${n} ${name} left`)];
  }
}
