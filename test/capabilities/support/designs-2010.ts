/**
 * A host that shows the designs of 2010, and a program that uses them: BIND of devices to an open /dev/uiommu, and SHARE.
 *
 * Words: the machines are those of the scenarios below test/e2e/seeds: 00:03.0 and 00:06.0 are alone in their groups,
 * 00:04.0 and 00:04.1 share one, and 00:05.1 shares one with a drive that its native driver has.
 * Rule: whether DMA comes through is seen in bytes alone.
 */
import { readFileSync } from 'node:fs';
import { type Errno, UIOMMU_BIND, UIOMMU_MAP, UIOMMU_SHARE, UIOMMU_UNMAP } from '@vfiolab/uapi';
import { ContainerLab, type ContainerLabOptions, IOVA, PAGE, RW, type VfioProgram } from './container-lab.js';

export const [ALONE, OTHER, NEXT_TO_NATIVE] = ['0000:00:03.0', '0000:00:06.0', '0000:00:05.1'];
export const SIBLINGS = ['0000:00:04.0', '0000:00:04.1'] as const;

export const machineText = (name: string): string =>
  readFileSync(new URL(`../../e2e/seeds/machines/${name}.json`, import.meta.url), 'utf8');

type Name = 'bench' | 'few-domains' | 'two-units';

export async function program2010(name: Name = 'bench', options: ContainerLabOptions = {}): Promise<Program2010> {
  const description = machineText(name);
  const lab = await ContainerLab.boot({ description, teaching: 'uiommu2010', ...options });
  return new Program2010(await lab.program('program'));
}

const fdBytes = (fd: number): Uint8Array => new Uint8Array(Int32Array.of(fd).buffer);

export class Program2010 {
  constructor(readonly p: VfioProgram) {}

  get lab(): ContainerLab {
    return this.p.lab;
  }

  /** The fd, or the errno. */
  async open(path: string): Promise<number | Errno> {
    const opened = await this.p.run(this.p.process.open(path));
    return opened.ok ? opened.value : opened.errno;
  }

  domain(): Promise<number> {
    return this.p.must(this.p.process.open('/dev/uiommu'));
  }

  async device(bdf: string): Promise<number> {
    const [name] = await this.p.must(this.p.process.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    return this.p.must(this.p.process.open(`/dev/${name}`));
  }

  bind(device: number, domain: number): Promise<number | Errno> {
    return this.p.withBytes(device, UIOMMU_BIND, fdBytes(domain));
  }

  share(device: number, other: number): Promise<number | Errno> {
    return this.p.withBytes(device, UIOMMU_SHARE, fdBytes(other));
  }

  /** On a domain or on a device. */
  async map(
    fd: number,
    vaddr: bigint,
    { iova = IOVA, size = BigInt(PAGE), flags = RW } = {},
  ): Promise<Errno | undefined> {
    return (await this.p.ioctl(fd, UIOMMU_MAP, { flags, vaddr, iova, size })).errno;
  }

  /** The errno, or the bytes that went. */
  async unmap(fd: number, iova: bigint, size: bigint): Promise<Errno | bigint> {
    const { errno, out } = await this.p.ioctl(fd, UIOMMU_UNMAP, { iova, size });
    return errno ?? out.size;
  }

  /** Two pages of memory at IOVA, of bytes of 0x21. */
  async mapped(fd: number): Promise<bigint> {
    const va = await this.p.memory(2 * PAGE);
    await this.p.must(this.p.process.write(Number(va), new Uint8Array(2 * PAGE).fill(0x21)));
    const errno = await this.map(fd, va, { size: 2n * BigInt(PAGE) });
    if (errno) throw new Error(`MAP: ${errno}`);
    return va;
  }

  /** Does the device see the memory of `mapped`? It copies from the first page to the second. */
  async sees(device: number, va: bigint): Promise<boolean> {
    const target = Number(va) + PAGE;
    await this.p.must(this.p.process.write(target, new Uint8Array(8)));
    await this.p.command(device, 6);
    const bar = await this.p.must(this.p.process.mapDevice(device, 0, PAGE));
    await this.p.copy({ fd: device, bar }, IOVA, IOVA + BigInt(PAGE), 8);
    await this.p.must(this.p.process.munmap(bar, PAGE));
    return (await this.p.byteAt(BigInt(target))) === 0x21;
  }
}
