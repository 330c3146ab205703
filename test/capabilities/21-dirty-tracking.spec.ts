import {
  IOMMU_HWPT_DIRTY_TRACKING_ENABLE,
  IOMMU_HWPT_GET_DIRTY_BITMAP,
  IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR,
  IOMMU_HWPT_SET_DIRTY_TRACKING,
} from '@vfiolab/uapi';
import { IPA, VA, vtdGuest } from './support/vtd-guest.js';
import { type Device, Passthrough, PAGE, PLAIN } from './support/iommu-host.js';

const DIRTY_TRACKING = 2;
const BASE = 0x100000n;
const PAGES = 32n;

const track = (t: Passthrough, hwpt_id: number, flags = IOMMU_HWPT_DIRTY_TRACKING_ENABLE) =>
  t.errno(IOMMU_HWPT_SET_DIRTY_TRACKING, { hwpt_id, flags });

/** Numbers of the pages that are reported. */
async function dirty(t: Passthrough, hwpt_id: number, flags = 0): Promise<number[]> {
  const data = new Uint8Array(8);
  await t.sure(IOMMU_HWPT_GET_DIRTY_BITMAP, {
    hwpt_id,
    flags,
    iova: BASE,
    length: PAGES * PAGE,
    page_size: PAGE,
    data,
  });
  const bits = new DataView(data.buffer).getUint32(0, true);
  return Array.from({ length: 32 }, (_, i) => i).filter((i) => bits & (1 << i));
}

async function tracked(iommu: string): Promise<{ t: Passthrough; device: Device; hwpt: number; ioas: number }> {
  const t = await Passthrough.boot({ iommu });
  const device = await t.device(PLAIN);
  const ioas = await t.ioas();
  await t.map(ioas, BASE, await t.memory(Number(PAGES * PAGE)), PAGES * PAGE);
  const hwpt = await t.hwpt(device, ioas, { flags: DIRTY_TRACKING });
  expect(await t.attach(device, hwpt)).toBeUndefined();
  return { t, device, ioas, hwpt };
}

describe.each([
  ['intel-vtd-scalable', 'second stage'],
  ['amd-vi-hd', 'host tables'],
  ['arm-smmu-v3-full', 'first stage'],
])('21: %s tracks what devices write (%s)', (iommu) => {
  it('three written pages are exactly those bits, and a second read is empty', async () => {
    const { t, device, hwpt } = await tracked(iommu);
    expect(await track(t, hwpt)).toBeUndefined();
    await t.dma(device, BASE + 3n * PAGE, 8, true);
    await t.dma(device, BASE + 10n * PAGE - 4n, 8, true);
    await t.dma(device, BASE + 20n * PAGE, 8, false);
    expect(await dirty(t, hwpt)).toEqual([3, 9, 10]);
    expect(await dirty(t, hwpt)).toEqual([]);
    await t.dma(device, BASE, 1, true);
    expect(await dirty(t, hwpt)).toEqual([0]);
  });

  it('NO_CLEAR keeps them, and a refused write marks nothing', async () => {
    const { t, device, hwpt } = await tracked(iommu);
    await track(t, hwpt);
    await t.dma(device, BASE + 5n * PAGE, 8, true);
    await t.dma(device, BASE + PAGES * PAGE, 8, true);
    const keep = IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;
    expect([await dirty(t, hwpt, keep), await dirty(t, hwpt, keep)]).toEqual([[5], [5]]);
  });

  it('tracking that begins anew forgets', async () => {
    const { t, device, hwpt } = await tracked(iommu);
    await t.dma(device, BASE, 8, true);
    await track(t, hwpt);
    expect(await dirty(t, hwpt)).toEqual([]);
    await t.dma(device, BASE, 8, true);
    await track(t, hwpt, 0);
    await track(t, hwpt);
    expect(await dirty(t, hwpt)).toEqual([]);
  });
});

describe('21: dirty tracking and the rest', () => {
  it.each(['intel-vtd', 'intel-vtd-fs', 'amd-vi', 'arm-smmu-v3-nested'])(
    '%s has no dirty bits: EOPNOTSUPP',
    async (iommu) => {
      const t = await Passthrough.boot({ iommu });
      const device = await t.device();
      await expect(t.hwpt(device, await t.ioas(), { flags: DIRTY_TRACKING })).rejects.toThrow('EOPNOTSUPP');
    },
  );

  it('writes through a guest’s table are found in the parent, and so are the bits that the walk sets', async () => {
    const g = await vtdGuest(undefined, { parentFlags: DIRTY_TRACKING });
    expect(IPA).toBe(BASE);
    await track(g.t, g.parent);
    await g.t.dma(g.device, VA, 4, false);
    // Entries that were used for the first time: accessed.
    expect(await dirty(g.t, g.parent)).toEqual([0, 1, 2, 3]);
    await g.t.dma(g.device, VA + PAGE, 4, true);
    expect(await dirty(g.t, g.parent)).toEqual([3, 5]);
    await g.t.dma(g.device, VA + PAGE, 4, true);
    expect(await dirty(g.t, g.parent)).toEqual([5]);
  });
});
