import { iommu_test_destroy_access_pages, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES } from '@vfiolab/uapi';
import { Lab, NOTHING, user } from './support/lab.js';
import { iommufdApi } from '@vfiolab/core';
import { ALL, APERTURE, PAGE } from './support/program.js';

const LENGTH = 4 * PAGE;

it('31: UNMAP of what an emulated device pinned asks it to let go, and succeeds', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm', user(1000, 2 * LENGTH));
  const [ioas, va] = [await p.ioas(), await p.memory(2 * LENGTH)];
  expect(await p.map(ioas, 0x10000n, va, LENGTH)).toBeUndefined();
  expect(await p.map(ioas, 0x20000n, va + BigInt(LENGTH), LENGTH)).toBeUndefined();
  const access = await p.access(ioas);
  const first = await p.pin(access, 0x10000n, LENGTH);
  const again = await p.pin(access, 0x11000n, PAGE);
  const other = await p.pin(access, 0x20000n, PAGE);
  expect(await p.refs(va, LENGTH, 1)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: 5, locked: 0, user: 5 });

  expect(await p.unmap(ioas, 0x10000n, LENGTH)).toBe(BigInt(LENGTH));
  expect(await p.refs(va, LENGTH, 0)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: 1, locked: 0, user: 1 });
  // The device let go of both of its pins there, and of nothing else.
  const drop = (access_pages_id: number) =>
    p.opErrno(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommu_test_destroy_access_pages, access, { access_pages_id });
  for (const gone of [first, again]) expect(await drop(gone)).toBe('ENOENT');
  expect(await drop(other)).toBeUndefined();
  expect(await p.unmap(ioas, 0n, ALL)).toBe(BigInt(LENGTH));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('31: UNMAP while an emulated device pins and lets go again and again: never a page that is pinned by nobody', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const [ioas, va] = [await p.ioas(), await p.memory(LENGTH)];
  const access = await p.access(ioas);
  for (let lag = 0; lag < 12; lag++) {
    expect(await p.map(ioas, 0x10000n, va, LENGTH)).toBeUndefined();
    await p.pin(access, 0x10000n, PAGE);
    const [unmapped] = await lab.host.together(() =>
      Promise.all([
        p.unmap(ioas, 0x10000n, LENGTH),
        lab.host.pause(lag * 0.05).then(() => p.pin(access, 0x11000n, PAGE).catch(() => undefined)),
      ]),
    );
    expect(unmapped).toBe(BigInt(LENGTH));
    expect(await p.refs(va, LENGTH, 0)).toBeUndefined();
    expect(lab.broken()).toEqual([]);
  }
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('31: a driver that ignores the request a hundred times: EDEADLK; nothing is unpinned below it', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm', user(1000, 3 * LENGTH));
  const [ioas, va] = [await p.ioas(), await p.memory(3 * LENGTH)];
  for (const i of [0, 1, 2])
    expect(await p.map(ioas, APERTURE + BigInt(i * LENGTH), va + BigInt(i * LENGTH), LENGTH)).toBeUndefined();
  const [good, deaf] = [await p.access(ioas), await p.access(ioas)];
  await p.pin(good, APERTURE, PAGE);
  const kept = await p.pin(deaf, APERTURE + BigInt(LENGTH), PAGE);
  const { token, owner } = p.process.fileOf(deaf);
  await p.must(p.process.link.call(owner, iommufdApi.deafen, { token }));

  // The area before it is gone, it and those behind it are there.
  expect(await p.unmap(ioas, 0n, ALL)).toBe('EDEADLK');
  expect(await p.map(ioas, APERTURE, va, LENGTH)).toBeUndefined();
  for (const i of [1, 2]) expect(await p.map(ioas, APERTURE + BigInt(i * LENGTH), va, LENGTH)).toBe('EEXIST');
  expect(await p.refs(va + BigInt(LENGTH), PAGE, 1)).toBeUndefined();
  expect(await p.counters()).toEqual({ pinned: 1, locked: 0, user: 1 });
  expect(await p.unmap(ioas, APERTURE + BigInt(LENGTH), LENGTH)).toBe('EDEADLK');
  // Nobody pins there any more; a device is attached all the same, and what was pinned may be given back.
  await expect(p.pin(good, APERTURE + BigInt(LENGTH), PAGE)).rejects.toThrow('EINVAL');
  await p.pin(good, APERTURE + BigInt(2 * LENGTH), PAGE);
  const { hwpt } = await p.mock(ioas);
  expect(await p.shows(hwpt, APERTURE + BigInt(LENGTH), va + BigInt(LENGTH), LENGTH)).toBeUndefined();
  expect(await p.unmap(ioas, 0n, ALL)).toBe('EDEADLK');
  const arm = { access_pages_id: kept };
  await p.op(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommu_test_destroy_access_pages, deaf, arm);
  expect(await p.unmap(ioas, 0n, ALL)).toBe(BigInt(2 * LENGTH));
  expect(lab.broken()).toEqual([]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
