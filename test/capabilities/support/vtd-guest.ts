/**
 * A guest that writes its own VT-d table, on top of a parent that its VMM maps.
 *
 * Words: an *IPA* is what the guest takes for physical: an IOVA of the parent.
 */
import type { Arguments } from '@vfiolab/client';
import type { IOMMU_HWPT_ALLOC } from '@vfiolab/uapi';
import { bytesOf, type Device, type MachineOptions, PAGE, Passthrough, RICH } from './iommu-host.js';

const NEST_PARENT = 1;
export const VTD_S1 = 1;
/** Where the program's memory lies in the parent. */
export const IPA = 0x100000n;
export const ipaOf = (page: number): bigint => IPA + BigInt(page) * PAGE;
const WRITABLE = 2n;
/** Bits of an entry. */
export const READ_ONLY = 5n;
export const READ_WRITE = READ_ONLY | WRITABLE;
export const LARGE = 0x80n;
/** First address that the guest's table maps. */
export const VA = 0x40000000n;

export interface Guest {
  readonly t: Passthrough;
  readonly device: Device;
  readonly ioas: number;
  readonly parent: number;
  readonly hwpt: number;
  /** Memory of the program, 16 pages. Pages 0 to 3 are the table, from its root down. */
  readonly memory: number;
}

export const tableData = (words: readonly bigint[]) => ({
  data_type: VTD_S1,
  data_len: 24,
  data_uptr: bytesOf(...words),
});

/** A guest with a table of four levels: VA is page 4, VA + 1 page 5, VA + 2 page 6 and only readable. */
export async function vtdGuest(
  prepare: (t: Passthrough) => Promise<Arguments<typeof IOMMU_HWPT_ALLOC.struct>> = async () => ({}),
  options: Partial<MachineOptions> & { readonly bdf?: string; readonly parentFlags?: number } = {},
): Promise<Guest> {
  const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable', ...options });
  const device = await t.device(options.bdf ?? RICH);
  const ioas = await t.ioas();
  const memory = await t.memory(16 * Number(PAGE));
  await t.map(ioas, IPA, memory, 16n * PAGE);
  await t.poke(memory, [ipaOf(1) | READ_WRITE]);
  await t.poke(memory + 4096 + 8, [ipaOf(2) | READ_WRITE]);
  await t.poke(memory + 8192, [ipaOf(3) | READ_WRITE]);
  await t.poke(memory + 12288, [ipaOf(4) | READ_WRITE, ipaOf(5) | READ_WRITE, ipaOf(6) | READ_ONLY]);
  const parent = await t.hwpt(device, ioas, { flags: NEST_PARENT | (options.parentFlags ?? 0) });
  const fields = await prepare(t);
  const hwpt = await t.hwpt(device, parent, { ...tableData([0n, ipaOf(0), 48n]), ...fields });
  const refused = await t.attach(device, hwpt);
  if (refused) throw new Error(`the test's own attachment: ${refused}`);
  return { t, device, ioas, parent, hwpt, memory };
}

export const pageOf = ({ memory }: Guest, n: number): number => memory + n * 4096;
