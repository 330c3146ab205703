/** Capability 44: domains of s390 (semantics C2.4, C3): pages of 4 KiB, within the window of the function. */
import { IOMMU_IOAS_IOVA_RANGES } from '@vfiolab/uapi';
import { OTHER_RICH, PAGE, Passthrough, RICH, text } from './support/iommu-host.js';

const [START, END] = [0x1_0000_0000n, 0x1ff_ffff_ffffn];

async function attached() {
  const b = await Passthrough.boot({ iommu: 's390' });
  const [device, ioas, va] = [await b.device(), await b.ioas(), await b.memory(0x200000)];
  expect(await b.attach(device, ioas)).toBeUndefined();
  return { b, device, ioas, va };
}

it('44: an IOAS is as large as the function’s window; MAP outside is EINVAL', async () => {
  const { b, ioas, va } = await attached();
  const room = new Uint8Array(64);
  const { out } = await b.ioctl(IOMMU_IOAS_IOVA_RANGES, { ioas_id: ioas, num_iovas: 4, allowed_iovas: room });
  expect(out).toMatchObject({ num_iovas: 1, out_iova_alignment: PAGE });
  expect([...new BigUint64Array(room.buffer)].slice(0, 2)).toEqual([START, END]);
  for (const [iova, errno] of [
    [START - PAGE, 'EINVAL'],
    [START, undefined],
    [END + 1n - PAGE, undefined],
    [END + 1n, 'EINVAL'],
    [1n << 42n, 'EINVAL'],
    [START + 0x800n, 'EINVAL'],
  ] as const)
    expect([iova, await b.map(ioas, iova, va, PAGE)]).toEqual([iova, errno]);
});

it('44: DMA goes through, what is not mapped or outside is refused; what may be written may be read', async () => {
  const { b, device, ioas, va } = await attached();
  await b.map(ioas, START, va, 0x200000n);
  await b.poke(va, text('tables'));
  await b.copy(device, START, START + 0x1ff000n, 6);
  expect(await b.peek(va + 0x1ff000, 6)).toBe('tables');
  await b.dma(device, START + 0x200000n, 6, false);
  await b.dma(device, 0x1000n, 6, false);
  expect((await b.faults(device)).map(({ reason }) => reason)).toEqual(['not mapped', 'not mapped']);
  expect(b.broken()).toEqual([]);
});

it('44: every function is a group, and no table of another sort is made for it', async () => {
  const { b, device, ioas } = await attached();
  const groupOf = async (bdf: string) => b.must(b.p.readlink(`/sys/bus/pci/devices/${bdf}/iommu_group`));
  expect(await groupOf(RICH)).not.toBe(await groupOf(OTHER_RICH));
  for (const flags of [1, 2, 8]) await expect(b.hwpt(device, ioas, { flags })).rejects.toThrow('EOPNOTSUPP');
  await b.hwpt(device, ioas);
  const group = (await groupOf(RICH)).replace(/.*\//, '');
  expect(await b.must(b.p.sysfsRead(`/sys/kernel/iommu_groups/${group}/reserved_regions`))).toBe(
    '0x0000000000000000 0x00000000ffffffff reserved\n0x0000020000000000 0x000003ffffffffff reserved\n',
  );
});
