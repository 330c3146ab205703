/** A bench behind a Tegra241 CMDQV: a device, its parent HWPT, and vIOMMUs with VINTFs on that. */
import { IOMMU_HW_QUEUE_ALLOC, IOMMU_HWPT_ALLOC, IOMMU_VIOMMU_ALLOC } from '@vfiolab/uapi';
import type { Arguments } from '@vfiolab/client';
import { ALONE, bench } from './bench.js';

export const CMDQV = 2;
export const QUEUE = 1;
/** Where the queue's memory lies in the parent. */
export const IPA = 0x1000000n;
const HUGE = 0x200000;

/** `frames`: host memory in 4 KiB. */
export async function cmdqvBench(profile = '7.2') {
  const b = await bench(undefined, 1 << 18, profile, 'arm-smmu-v3-cmdqv');
  const { id: device } = await b.bind(ALONE);
  const ioas = await b.ioas();
  const parent = (await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: ioas, flags: 1 })).out.out_hwpt_id;
  const base = { type: CMDQV, dev_id: device, hwpt_id: parent };
  const viommu = async () => {
    const data_uptr = new Uint8Array(16);
    const { out, errno } = await b.ioctl(IOMMU_VIOMMU_ALLOC, { ...base, data_len: 16, data_uptr });
    const [offset, length] = [...new BigUint64Array(data_uptr.buffer)].map(Number);
    return { errno, id: out.out_viommu_id, offset: offset!, length: length! };
  };
  return { ...b, device, ioas, parent, base, viommu };
}

/** The same with one vIOMMU, its window mapped, and 2 MiB of memory in one piece behind it. */
export async function queueBench() {
  const b = await cmdqvBench();
  const must = async <T>(work: Promise<{ readonly ok: boolean; readonly value?: T }>): Promise<T> => {
    const r = await b.host.run(work);
    expect(r).toMatchObject({ ok: true });
    return r.value!;
  };
  const memory = await must<number>(b.p.mmap(HUGE, { pageShift: 21 }));
  expect(await b.map(b.ioas, IPA, BigInt(HUGE), BigInt(memory))).toBeUndefined();
  const { id: viommu_id, offset, length } = await b.viommu();
  const window = await must<number>(b.p.mapFile(b.fd, offset, length));
  const queue = { viommu_id, type: QUEUE, index: 0, nesting_parent_iova: IPA, length: 64n };
  return {
    ...b,
    memory,
    viommu_id,
    queue,
    make: (fields: Arguments<typeof IOMMU_HW_QUEUE_ALLOC.struct> = {}) =>
      b.ioctl(IOMMU_HW_QUEUE_ALLOC, { ...queue, ...fields }),
    poke: async (at: number, ...words: bigint[]) =>
      void (await must(b.p.write(memory + at, new Uint8Array(BigUint64Array.from(words).buffer)))),
    store: async (register: number, ...words: number[]) =>
      void (await must(b.p.store(window + register, 4 * words.length, new Uint8Array(Uint32Array.from(words).buffer)))),
    bytes: async (at: number, data: Uint8Array) => void (await must(b.p.store(window + at, data.length, data))),
    load: async (register: number) =>
      new Uint32Array((await must<Uint8Array>(b.p.load(window + register, 4))).slice().buffer)[0]!,
  };
}
