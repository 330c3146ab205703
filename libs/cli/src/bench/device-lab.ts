/** A lab with one process that has a GPU attached to an IOAS: where system calls are measured. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Process } from '@vfiolab/client';
import { type Environment, readScenario, runScenario } from '@vfiolab/scenario';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '@vfiolab/uapi';
import type { Engine } from '../engine.js';

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
    private readonly iommufd: number,
    private readonly ioas: number,
  ) {}

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
    must(await process.start(), 'start');
    const [node = ''] = must(await process.listdir(`${DEVICES}/${GPU}/vfio-dev`), 'listdir');
    const iommufd = must(await process.open('/dev/iommu'), 'open');
    const gpu = must(await process.open(`/dev/vfio/devices/${node}`), 'open');
    const bound = await process.ioctl(gpu, VFIO_DEVICE_BIND_IOMMUFD, { iommufd });
    const { out } = await process.ioctl(iommufd, IOMMU_IOAS_ALLOC);
    const attached = await process.ioctl(gpu, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: out.out_ioas_id });
    const errno = bound.errno ?? attached.errno;
    if (errno !== undefined) throw new Error(`bench: attaching the device answered ${errno}`);
    return new DeviceLab(process, iommufd, out.out_ioas_id);
  }

  /** Runs `work` in a lab that is gone afterwards. */
  static async use<T>(engine: Engine, work: (lab: DeviceLab) => Promise<T>): Promise<T> {
    const parent = mkdtempSync(join(tmpdir(), 'vfiolab-bench-'));
    const environment = await engine.startEmbedded({ dir: join(parent, 'run'), durability: 'process', record: true });
    try {
      return await work(await DeviceLab.attach(environment));
    } finally {
      await environment.end();
      rmSync(parent, { recursive: true, force: true });
    }
  }
}
