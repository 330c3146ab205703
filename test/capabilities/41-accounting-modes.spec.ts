import { ROOT } from '@vfiolab/client';
import { VFIO_GROUP_SET_CONTAINER, VFIO_IOMMU_MAP_DMA, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU } from '@vfiolab/uapi';
import { charged, FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { APERTURE, PAGE, type Program } from './support/program.js';

const LIMIT = 64 * PAGE;

/** The same program in each mode: counters after every step. */
async function story(p: Program) {
  const [ioas, va] = [await p.ioas(), await p.memory(64 * PAGE)];
  const steps = [];
  expect(await p.map(ioas, APERTURE, va, 8 * PAGE)).toBeUndefined();
  steps.push(await p.counters());
  const { object } = await p.mock(ioas);
  steps.push(await p.counters());
  // Once more, half a page into it; then what is there already under another IOVA.
  expect(await p.map(ioas, APERTURE + 0x10000n, va + 2048n, 8 * PAGE)).toBeUndefined();
  expect(await p.copy(ioas, APERTURE, ioas, APERTURE + 0x20000n, 8 * PAGE)).toBeUndefined();
  steps.push(await p.counters());
  await p.must(p.process.mlock(Number(va), 4 * PAGE));
  steps.push(await p.counters());
  expect(await p.destroy(object)).toBeUndefined();
  steps.push(await p.counters());
  return steps;
}

it.each([
  ['nobody pays with CAP_IPC_LOCK', 'none', 0, 0],
  ['the user pays', 'user', 0, 1],
  ['the mm pays, in VmLck', 'mm', 1, 0],
] as const)('41: the modes of accounting: %s; VmPin is the same in all', async (_what, mode, locked, byUser) => {
  const lab = await Lab.mock();
  const p =
    mode === 'mm'
      ? await lab.programInMmMode('vmm', LIMIT)
      : await lab.program('vmm', mode === 'none' ? { ...ROOT, memlock: LIMIT } : charged(LIMIT));
  const at = (pages: number, mlocked = 0) => ({
    pinned: pages,
    locked: locked * pages + mlocked,
    user: byUser * pages,
  });
  expect(await story(p)).toEqual([at(0), at(8), at(17), at(17, 4), at(0, 4)]);
  await p.must(p.process.munlock(0x10_0000_0000, 4 * PAGE));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it.each([
  ['none', 17],
  ['user', 16],
  ['mm', 16],
] as const)('41: who pays meets his limit, %s: %i pages', async (mode, most) => {
  const lab = await Lab.mock();
  const limit = 16 * PAGE;
  const p =
    mode === 'mm'
      ? await lab.programInMmMode('vmm', limit)
      : await lab.program('vmm', mode === 'none' ? { ...ROOT, memlock: limit } : charged(limit));
  const [ioas, va] = [await p.ioas(), await p.memory(32 * PAGE)];
  await p.mock(ioas);
  for (let i = 0; i < 17; i++)
    expect(await p.map(ioas, APERTURE + BigInt(i * PAGE), va, PAGE)).toBe(i < most ? undefined : 'ENOMEM');
  expect((await p.counters()).pinned).toBe(most);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('41: a type1 container charges every mapping to the mm, the same memory twice; VmPin does not move', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm', charged(16 * PAGE));
  const link = await p.must(p.process.readlink(`/sys/bus/pci/devices/${FUNCTIONS[0]}/iommu_group`));
  const group = await p.must(p.process.open(`/dev/vfio/${link.split('/').at(-1)}`));
  const container = await p.must(p.process.open('/dev/vfio/vfio'));
  const va = await p.memory(16 * PAGE);
  await p.write(va, new Uint8Array(Int32Array.of(container).buffer));
  const joined = await lab.run(p.process.ioctlAt(group, VFIO_GROUP_SET_CONTAINER.nr, Number(va), []));
  const set = await lab.run(p.process.ioctlAt(container, VFIO_SET_IOMMU.nr, VFIO_TYPE1v2_IOMMU, []));
  expect([joined.errno, set.errno]).toEqual([undefined, undefined]);
  const map = (iova: bigint, pages: number) =>
    p.errno(VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr: va, iova, size: BigInt(pages * PAGE) }, container);
  expect(await map(0x100000n, 8)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: 0, locked: 8, user: 0 });
  expect(await map(0x200000n, 8)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: 0, locked: 16, user: 0 });
  expect(await map(0x300000n, 1)).toBe('ENOMEM');
  // iommufd charges the user beside it, and knows of one page what a container counts twice.
  const ioas = await p.ioas();
  const device = await p.access(ioas);
  expect(await p.map(ioas, 0x100000n, va, 8 * PAGE)).toBeUndefined();
  expect(await p.copy(ioas, 0x100000n, ioas, 0x200000n, 8 * PAGE)).toBeUndefined();
  for (const iova of [0x100000n, 0x200000n]) await p.pin(device, iova, 8 * PAGE);
  expect(await p.counters()).toEqual({ pinned: 8, locked: 16, user: 8 });
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
