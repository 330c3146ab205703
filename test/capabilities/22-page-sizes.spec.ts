import { IOMMU } from '@vfiolab/core';
import { IOMMU_OPTION, IOMMU_OPTION_HUGE_PAGES } from '@vfiolab/uapi';
import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { PAGE, type Program } from './support/program.js';

const HUGE = 0x200000;
const setHuge = (p: Program, object_id: number, val64: bigint) =>
  p.errno(IOMMU_OPTION, { option_id: IOMMU_OPTION_HUGE_PAGES, op: 0, object_id, val64 });

/** Page tables of the only domain, as the operator sees them: leaves of 2 MiB need one table less. */
async function tables(lab: Lab): Promise<number> {
  const { lines } = await lab.run(lab.host.env.inspect(IOMMU));
  return Number(/(\d+) tables/.exec(lines.join('\n'))![1]);
}

it('22: without huge pages every IOPTE is 4 KiB; the choice is made before there are areas and domains', async () => {
  const made: Record<string, number> = {};
  for (const val64 of [1n, 0n]) {
    const lab = await Lab.real();
    const p = await lab.program('vmm');
    const [ioas, va] = [await p.ioas(), await p.memory(HUGE, { pageShift: 21 })];
    expect(await setHuge(p, ioas, val64)).toBeUndefined();
    const device = await p.device(FUNCTIONS[0]);
    await device.attached(ioas);
    expect(await p.map(ioas, BigInt(HUGE), va, HUGE)).toBeUndefined();
    made[`${val64}`] = await tables(lab);
    expect(await setHuge(p, ioas, 0n)).toBe(val64 === 1n ? 'EINVAL' : undefined);
    expect(await p.unmap(ioas, BigInt(HUGE), HUGE)).toBe(BigInt(HUGE));
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  }
  expect(made['0']! - made['1']!).toBe(1);
});

it('22: small pages are the alignment of an IOAS, also where the IOMMU has smaller ones, and areas must fit', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const [ioas, va] = [await p.ioas(), await p.memory(2 * PAGE)];
  expect(await p.map(ioas, 0x800n, va, 2048)).toBeUndefined();
  expect(await setHuge(p, ioas, 0n)).toBe('EADDRINUSE');
  expect(await p.unmap(ioas, 0x800n, 2048)).toBe(2048n);
  expect(await setHuge(p, ioas, 0n)).toBeUndefined();
  expect((await p.ranges(ioas)).alignment).toBe(4096n);
  await p.mock(ioas);
  expect(await p.map(ioas, 0x1000800n, va, 2048)).toBe('EINVAL');
  expect(await p.map(ioas, 0x1000000n, va, 4096)).toBeUndefined();
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
