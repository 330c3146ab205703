import { IOMMU_HWPT_ALLOC_NEST_PARENT } from '@vfiolab/uapi';
import { Lab, NOTHING, user } from './support/lab.js';
import { APERTURE, PAGE } from './support/program.js';

const PAGES = 16;
const LENGTH = PAGES * PAGE;

it('28: memory pinned beforehand is copied elsewhere without a new pin and without asking the limit', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm', user(1000, LENGTH));
  const [cache, target, va] = [await p.ioas(), await p.ioas(), await p.memory(2 * LENGTH)];
  // A domain that no device uses holds the pages.
  const { object, device } = await p.mock(cache);
  await p.hwpt(device, cache, IOMMU_HWPT_ALLOC_NEST_PARENT);
  await p.mock(target);
  expect(await p.replaceErrno(object, target)).toBeUndefined();
  expect(await p.map(cache, APERTURE, va, LENGTH)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: PAGES, locked: 0, user: PAGES });

  await p.must(p.process.setMemlock(0));
  expect(await p.map(target, APERTURE, va + BigInt(LENGTH), PAGE)).toBe('ENOMEM');
  for (let i = 0; i < PAGES; i++) {
    const at = BigInt(i * PAGE);
    expect(await p.copy(cache, APERTURE + at, target, APERTURE + 2n * at, PAGE)).toBeUndefined();
    expect(await p.unmap(target, APERTURE + 2n * at, PAGE)).toBe(BigInt(PAGE));
  }
  expect(await p.copy(cache, APERTURE, target, APERTURE, LENGTH)).toBeUndefined();
  expect(await p.refs(va, LENGTH, 1)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: PAGES, locked: 0, user: PAGES });
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
