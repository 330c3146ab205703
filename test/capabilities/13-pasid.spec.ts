import { OTHER_RICH, Passthrough, PAGE, PLAIN, RICH, text } from './support/iommu-host.js';

const PASID = 8;
const SHARED = 0x100000n;

/** Two address spaces with different bytes at the same IOVA, as PASIDs 1 and 2 of one device. */
async function twoSpaces(iommu: string) {
  const t = await Passthrough.boot({ iommu });
  const device = await t.device();
  const memory = await t.memory(8 * Number(PAGE));
  const spaces: { va: number; hwpt: number }[] = [];
  for (const [i, word] of ['first', 'other'].entries()) {
    const ioas = await t.ioas();
    const va = memory + i * 4 * Number(PAGE);
    await t.poke(va, text(word));
    expect(await t.map(ioas, SHARED, va, 2n * PAGE)).toBeUndefined();
    spaces.push({ va, hwpt: await t.hwpt(device, ioas, { flags: PASID }) });
  }
  return { t, device, spaces };
}

describe('13: two PASIDs of a device on two IOAS: a DMA sees the map of its PASID and nothing else', () => {
  it.each(['intel-vtd-scalable', 'intel-vtd-fs', 'arm-smmu-v3-full', 'amd-vi-hd'])('%s', async (iommu) => {
    const { t, device, spaces } = await twoSpaces(iommu);
    for (const [i, { hwpt }] of spaces.entries()) expect(await t.attach(device, hwpt, i + 1)).toBeUndefined();
    for (const i of [0, 1]) await t.copy(device, SHARED, SHARED + PAGE, 5, i + 1);
    expect(await t.peek(spaces[0]!.va + 4096, 5)).toBe('first');
    expect(await t.peek(spaces[1]!.va + 4096, 5)).toBe('other');
    expect(await t.faults(device)).toEqual([]);
    // Neither the device itself nor a third PASID has anything there.
    await t.dma(device, SHARED, 4, false);
    await t.dma(device, SHARED, 4, false, 3);
    expect((await t.faults(device)).map(({ reason, pasid }) => [reason, pasid])).toEqual([
      ['blocking', undefined],
      ['no such pasid', 3],
    ]);
    expect(t.broken()).toEqual([]);
  });

  it('replacing a PASID moves it, detaching ends it, and closing the device leaves none', async () => {
    const { t, device, spaces } = await twoSpaces('intel-vtd-scalable');
    await t.attach(device, spaces[0]!.hwpt, 7);
    expect(await t.attach(device, spaces[1]!.hwpt, 7)).toBeUndefined();
    await t.copy(device, SHARED, SHARED + PAGE, 5, 7);
    expect(await t.peek(spaces[1]!.va + 4096, 5)).toBe('other');
    expect(await t.detach(device, 7)).toBeUndefined();
    expect(await t.detach(device, 7)).toBeUndefined();
    await t.dma(device, SHARED, 4, false, 7);
    expect((await t.faults(device)).at(-1)).toMatchObject({ reason: 'no such pasid' });
    await t.attach(device, spaces[0]!.hwpt, 7);
    await t.must(t.p.close(device.fd));
    expect(t.broken()).toEqual([]);
    expect(t.host.figures('iommu')['ownedGroups']).toBe(0);
  });

  it.each([
    ['a HWPT that was made without the flag', RICH, 0, 1, 'EINVAL'],
    ['a PASID beyond the device’s width', RICH, PASID, 1 << 20, 'EINVAL'],
    ['a device without PASIDs', PLAIN, PASID, 1, 'EINVAL'],
    ['a PASID that is no positive int', RICH, PASID, 0xffffffff, 'ENOSPC'],
  ] as const)('%s is refused', async (_why, bdf, flags, pasid, errno) => {
    const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable' });
    const device = await t.device(bdf);
    const hwpt = await t.hwpt(device, await t.ioas(), { flags });
    expect(await t.attach(device, hwpt, pasid)).toBe(errno);
    expect(t.broken()).toEqual([]);
  });

  it('a PASID next to a HWPT without the flag is refused, both ways round', async () => {
    const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable' });
    const [device, other] = [await t.device(), await t.device(OTHER_RICH)];
    const ioas = await t.ioas();
    const [plain, flagged] = [await t.hwpt(device, ioas), await t.hwpt(device, ioas, { flags: PASID })];
    expect(await t.attach(device, plain)).toBeUndefined();
    expect(await t.attach(device, flagged, 1)).toBe('EINVAL');
    expect(await t.attach(other, flagged, 1)).toBeUndefined();
    expect(await t.attach(other, plain)).toBe('EINVAL');
    expect(await t.attach(other, flagged)).toBeUndefined();
  });
});
