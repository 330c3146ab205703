/**
 * A guest that writes its own SMMUv3 table, on top of a parent that its VMM maps, through a virtual IOMMU.
 *
 * Words: an *IPA* is what the guest takes for physical: an IOVA of the parent.
 */
import type { Arguments } from '@vfiolab/client';
import { IOMMU_VDEVICE_ALLOC, IOMMU_VEVENTQ_ALLOC, IOMMU_VIOMMU_ALLOC } from '@vfiolab/uapi';
import { bytesOf, type Device, PAGE, Passthrough } from './iommu-host.js';

const NEST_PARENT = 1;
export const SMMU = 1;
const STE_DATA = 2;
export const COMMANDS = 1;
/** Where the program's memory lies in the parent. */
export const IPA = 0x100000n;
export const at = (page: number): bigint => IPA + BigInt(page) * PAGE;
export const STREAM = 0x18;

/** Stream table entries: valid, and what they do. */
export const [TRANSLATE, BYPASS, ABORT] = [1n | (5n << 1n) | IPA, 1n | (4n << 1n), 1n];
export const NOT_VALID = 0n;

/** A context: 39 bits of address, granules of 4 KiB, address space 1, only the low table; its table begins at page 1. */
const CONTEXT = [0x1e204c0003519n, at(1), 0n, 0xffn];
const [TABLE, READ_ONLY] = [3n, 0x80n];
export const PAGE_RW = 0x743n;
/** First address of the guest's leaf table. */
export const VA = 0x200000n;

export const commandFor = (op: bigint, rest = 0n): bigint => op | rest;
export const [ALL, ONE_PAGE, CONFIG_ALL] = [0x10n, 0x12n, 0x06n];
export const ASID = 1n << 48n;

export class SmmuGuest {
  private constructor(
    readonly t: Passthrough,
    readonly device: Device,
    readonly ioas: number,
    readonly memory: number,
    readonly parent: number,
    readonly viommu: number,
  ) {}

  /** Page 0 holds the context, pages 1 to 3 the table: VA is page 4, VA + 1 page 5, VA + 2 page 6 and only readable. */
  static async boot(
    iommu = 'arm-smmu-v3-canwbs',
    viommu: Arguments<typeof IOMMU_VIOMMU_ALLOC.struct> = {},
  ): Promise<SmmuGuest> {
    const t = await Passthrough.boot({ iommu });
    const device = await t.device();
    const ioas = await t.ioas();
    const memory = await t.memory(16 * 4096);
    await t.map(ioas, IPA, memory, 16n * PAGE);
    await t.poke(memory, CONTEXT);
    await t.poke(memory + 4096, [at(2) | TABLE]);
    await t.poke(memory + 8192 + 8, [at(3) | TABLE]);
    await t.poke(memory + 12288, [at(4) | PAGE_RW, at(5) | PAGE_RW, at(6) | PAGE_RW | READ_ONLY]);
    const parent = await t.hwpt(device, ioas, { flags: NEST_PARENT });
    const alloc = { type: SMMU, dev_id: device.id, hwpt_id: parent, ...viommu };
    const made = await t.sure(IOMMU_VIOMMU_ALLOC, alloc);
    return new SmmuGuest(t, device, ioas, memory, parent, made.out_viommu_id);
  }

  page(n: number): number {
    return this.memory + n * 4096;
  }

  async vdevice(device = this.device, virt_id = BigInt(STREAM)): Promise<number> {
    const { out_vdevice_id } = await this.t.sure(IOMMU_VDEVICE_ALLOC, {
      viommu_id: this.viommu,
      dev_id: device.id,
      virt_id,
    });
    return out_vdevice_id;
  }

  hwpt(low: bigint, high = 0xd4n): Promise<number> {
    const data = { data_type: STE_DATA, data_len: 16, data_uptr: bytesOf(low, high) };
    return this.t.hwpt(this.device, this.viommu, data);
  }

  /** A table of its own, attached. */
  async attached(low = TRANSLATE): Promise<this> {
    await this.vdevice();
    expect(await this.t.attach(this.device, await this.hwpt(low))).toBeUndefined();
    return this;
  }

  invalidate(...commands: readonly bigint[]) {
    return this.t.invalidate(this.viommu, COMMANDS, 16, commands);
  }

  async events(): Promise<number> {
    const made = await this.t.sure(IOMMU_VEVENTQ_ALLOC, { viommu_id: this.viommu, type: 1, veventq_depth: 4 });
    return made.out_veventq_fd;
  }

  async copied(): Promise<string> {
    await this.t.copy(this.device, VA, VA + PAGE, 6);
    return this.t.peek(this.page(5), 6);
  }
}
