/**
 * A host for tests of iommufd: real cores all around, one program with /dev/iommu open.
 *
 * The machine has a group of two functions without a driver (00:1e.0, 00:1e.1) and one of a single function (00:12.0).
 */
import { readFileSync } from 'node:fs';
import type { AnyStruct, Errno, IoctlDef, Result } from '@vfiolab/uapi';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
} from '@vfiolab/uapi';
import type { Arguments, Credentials, IoctlAnswer, IoctlOptions, Process } from '@vfiolab/client';
import { TestHost } from '@vfiolab/sim';

const machine = readFileSync(new URL('../../../../test/machines/imac-cometlake.json', import.meta.url), 'utf8');

export const FIRST = '0000:00:1e.0';
export const SIBLING = '0000:00:1e.1';
export const ALONE = '0000:00:12.0';
export const FIXED_RW = 7;

export interface Bench {
  readonly host: TestHost;
  readonly p: Process;
  /** fd of /dev/iommu. */
  readonly fd: number;
  ioctl<S extends AnyStruct>(
    def: IoctlDef<string, S>,
    fields?: Arguments<S>,
    options?: IoctlOptions,
  ): Promise<IoctlAnswer<S>>;
  /** The errno, or undefined for success. */
  errno<S extends AnyStruct>(def: IoctlDef<string, S>, fields?: Arguments<S>): Promise<Errno | undefined>;
  ioas(): Promise<number>;
  memory(length: number, prot?: number): Promise<bigint>;
  /** Maps at a fixed place; answers the errno. */
  map(ioas: number, iova: bigint, length: bigint, va: bigint, flags?: number): Promise<Errno | undefined>;
  /** Opens the device's cdev and binds it to /dev/iommu: its fd and its id. */
  bind(bdf: string): Promise<{ dev: number; id: number }>;
  attach(dev: number, pt: number): Promise<IoctlAnswer>;
  detach(dev: number): Promise<Errno | undefined>;
  close(fd: number): Promise<void>;
  pinnedKb(): Promise<number>;
  lockedKb(): Promise<number>;
}

/** `frames`: host memory in 4 KiB; `iommu`: its kind, the machine's own when left out. */
export async function bench(
  credentials?: Credentials,
  frames = 1 << 24,
  profile = '6.12',
  iommu?: string,
): Promise<Bench> {
  const host = await TestHost.boot({ machine, frames, profile, ...(iommu !== undefined && { iommu }) });
  const p = await host.process('program', credentials);
  const run = <T>(work: Promise<T>): Promise<T> => host.run(work);
  const must = async <T>(what: Promise<Result<T>>): Promise<T> => {
    const r = await run(what);
    if (!r.ok) throw new Error(`the test's own call failed: ${r.errno}`);
    return r.value;
  };
  await giveToVfio(must, run, await host.process('root'), [FIRST, SIBLING, ALONE]);
  const fd = await must(p.open('/dev/iommu'));
  const ioctlOn = <S extends AnyStruct>(
    on: number,
    def: IoctlDef<string, S>,
    fields?: Arguments<S>,
    options?: IoctlOptions,
  ) => run(p.ioctl(on, def, fields, options));
  const b: Bench = {
    host,
    p,
    fd,
    ioctl: (def, fields, options) => ioctlOn(fd, def, fields, options),
    errno: async (def, fields) => (await ioctlOn(fd, def, fields)).errno,
    ioas: async () => (await ioctlOn(fd, IOMMU_IOAS_ALLOC)).out.out_ioas_id,
    memory: async (length, prot = 3) => BigInt(await must(p.mmap(length, { prot }))),
    map: async (ioas_id, iova, length, user_va, flags = FIXED_RW) =>
      (await ioctlOn(fd, IOMMU_IOAS_MAP, { ioas_id, iova, length, user_va, flags })).errno,
    bind: async (bdf) => {
      const minor = (await must(p.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`)))[0];
      const dev = await must(p.open(`/dev/vfio/devices/${minor}`));
      const bound = await ioctlOn(dev, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: fd });
      if (bound.errno) throw new Error(`BIND of ${bdf}: ${bound.errno}`);
      return { dev, id: bound.out.out_devid };
    },
    attach: (dev, pt_id) => ioctlOn(dev, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id }),
    detach: async (dev) => (await ioctlOn(dev, VFIO_DEVICE_DETACH_IOMMUFD_PT, { argsz: 8 })).errno,
    close: async (closed) => void (await must(p.close(closed))),
    pinnedKb: async () => (await must(p.status())).vmPinnedKb,
    lockedKb: async () => (await must(p.status())).vmLockedKb,
  };
  return b;
}

/** Root makes the devices vfio-pci's, and gives their nodes and /dev/iommu to everybody, as udev's rules may. */
async function giveToVfio(
  must: <T>(w: Promise<Result<T>>) => Promise<T>,
  run: <T>(w: Promise<T>) => Promise<T>,
  p: Process,
  bdfs: readonly string[],
): Promise<void> {
  for (const bdf of bdfs) {
    const driver = await run(p.readlink(`/sys/bus/pci/devices/${bdf}/driver`));
    if (driver.ok) await must(p.sysfsWrite(`/sys/bus/pci/devices/${bdf}/driver/unbind`, bdf));
    await must(p.sysfsWrite(`/sys/bus/pci/devices/${bdf}/driver_override`, 'vfio-pci'));
    await must(p.sysfsWrite('/sys/bus/pci/drivers_probe', bdf));
    const [node] = await must(p.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    await must(p.chmod(`/dev/vfio/devices/${node}`, 0o666));
  }
  await must(p.chmod('/dev/iommu', 0o666));
}
