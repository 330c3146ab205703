/** A lab with one process that has a GPU attached to an IOAS: where system calls are measured. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Link, Process } from '@vfiolab/client';
import { sysApi } from '@vfiolab/core';
import { type Environment, readScenario, runScenario } from '@vfiolab/scenario';
import {
  errnoName,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '@vfiolab/uapi';
import type { Durability, Engine } from '../engine.js';

const GPU = '0000:41:00.0';
const AUDIO = '0000:41:00.1';
const DEVICES = '/sys/bus/pci/devices';
const READ_WRITE_FIXED = 7;

/** The host, its group free of native drivers and bound to vfio-pci. */
const SETUP = `
vfiolab: scenario/1
title: bench
host: { machine: lambda-vector-wrx80-a, memory: 64GiB }
steps:
  - sysfs_write: { path: /sys/bus/pci/drivers/nvidia/unbind, data: '${GPU}' }
  - sysfs_write: { path: /sys/bus/pci/drivers/snd_hda_intel/unbind, data: '${AUDIO}' }
  - sysfs_write: { path: '${DEVICES}/${GPU}/driver_override', data: vfio-pci }
  - sysfs_write: { path: /sys/bus/pci/drivers_probe, data: '${GPU}' }
`;

const must = <T>(result: { ok: true; value: T } | { ok: false; errno: string }, what: string): T => {
  if (!result.ok) throw new Error(`bench: ${what} answered ${result.errno}`);
  return result.value;
};

export class DeviceLab {
  private constructor(
    readonly process: Process,
    private readonly link: Link,
    private readonly iommufd: number,
    readonly ioas: number,
  ) {}

  /** One ioctl on /dev/iommu with a ready-made struct; `done` gets an error when it was refused. */
  ioctl(cmd: number, struct: Uint8Array, done: (error?: Error) => void): void {
    const { token, owner } = this.process.fileOf(this.iommufd);
    const args = { token, cmd, arg: 4096, segments: [{ va: 4096, writable: true, bytes: struct }], fds: [] };
    const settle = ({ errno }: { errno: number }): void =>
      done(errno === 0 ? undefined : new Error(`bench: ioctl 0x${cmd.toString(16)} answered ${errnoName(errno)}`));
    this.link.caller.request(owner, sysApi.ioctl, args, settle, done);
  }

  /** Maps and unmaps memory of the process at a fixed IOVA. */
  async mapAndUnmap(va: number, length: bigint): Promise<void> {
    const { process, iommufd, ioas: ioas_id } = this;
    const iova = 0x100000000n;
    const mapped = await process.ioctl(iommufd, IOMMU_IOAS_MAP, {
      flags: READ_WRITE_FIXED,
      ioas_id,
      user_va: BigInt(va),
      length,
      iova,
    });
    const unmapped = await process.ioctl(iommufd, IOMMU_IOAS_UNMAP, { ioas_id, iova, length });
    const errno = mapped.errno ?? unmapped.errno;
    if (errno !== undefined) throw new Error(`bench: mapping ${length} bytes answered ${errno}`);
  }

  async memory(length: number, pageShift: number): Promise<number> {
    return must(await this.process.mmap(length, { pageShift }), 'mmap');
  }

  private static async attach(environment: Environment): Promise<DeviceLab> {
    const ready = await runScenario(readScenario(SETUP, 'bench'), environment);
    if (ready.failure) throw new Error(ready.failure.message);
    const process = new Process('bench', environment.link('bench'));
    const link = environment.link('bench');
    must(await process.start(), 'start');
    const [node = ''] = must(await process.listdir(`${DEVICES}/${GPU}/vfio-dev`), 'listdir');
    const iommufd = must(await process.open('/dev/iommu'), 'open');
    const gpu = must(await process.open(`/dev/vfio/devices/${node}`), 'open');
    const bound = await process.ioctl(gpu, VFIO_DEVICE_BIND_IOMMUFD, { iommufd });
    const { out } = await process.ioctl(iommufd, IOMMU_IOAS_ALLOC);
    const attached = await process.ioctl(gpu, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: out.out_ioas_id });
    const errno = bound.errno ?? attached.errno;
    if (errno !== undefined) throw new Error(`bench: attaching the device answered ${errno}`);
    return new DeviceLab(process, link, iommufd, out.out_ioas_id);
  }

  /** Runs `work` in a lab that is gone afterwards. */
  static async use<T>(
    engine: Engine,
    work: (lab: DeviceLab) => Promise<T>,
    { durability = 'process', nats }: { durability?: Durability; nats?: string } = {},
  ): Promise<T> {
    const parent = mkdtempSync(join(tmpdir(), 'vfiolab-bench-'));
    const where = { dir: join(parent, 'run'), durability, record: false };
    const environment = await (nats === undefined
      ? engine.startEmbedded(where)
      : engine.startNats({ ...where, url: nats }));
    try {
      return await work(await DeviceLab.attach(environment));
    } finally {
      await environment.end();
      rmSync(parent, { recursive: true, force: true });
    }
  }

  /** Records `work` in a journaled lab, replays it, and says how long both took. */
  static async recorded(
    engine: Engine,
    work: (lab: DeviceLab) => Promise<unknown>,
  ): Promise<{ inputs: number; runSeconds: number; replaySeconds: number }> {
    const parent = mkdtempSync(join(tmpdir(), 'vfiolab-bench-'));
    const dir = join(parent, 'run');
    try {
      const environment = await engine.startEmbedded({ dir, durability: 'process', record: true });
      const began = performance.now();
      await work(await DeviceLab.attach(environment));
      const runSeconds = (performance.now() - began) / 1000;
      await engine.writeManifest(
        dir,
        { title: 'bench', mode: 'embedded', durability: 'process' },
        await environment.end(),
      );
      const again = performance.now();
      const { inputs, actors } = await engine.replayRun(dir);
      if (!actors.every((a) => a.matches)) throw new Error('bench: the replay ended in another state');
      return { inputs, runSeconds, replaySeconds: (performance.now() - again) / 1000 };
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  }
}
