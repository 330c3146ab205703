import {
  iommu_test_dmabuf_get,
  iommu_test_dmabuf_revoke,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
} from '@vfiolab/uapi';
import { IOMMU } from '@vfiolab/core';
import { Lab, NOTHING } from './support/lab.js';
import { ALL, APERTURE, PAGE, type Program } from './support/program.js';

async function dmabuf(p: Program, length: number): Promise<number> {
  const made = await p.test(IOMMU_TEST_OP_DMABUF_GET, iommu_test_dmabuf_get, 0, { length });
  expect(made.errno).toBeUndefined();
  return made.ret;
}

const revoke = (p: Program, dmabuf_fd: number, revoked: number) =>
  p.opErrno(IOMMU_TEST_OP_DMABUF_REVOKE, iommu_test_dmabuf_revoke, 0, { dmabuf_fd, revoked });

/** Pages of 2 KiB that all domains have together. */
const mapped = (lab: Lab): number => lab.host.figures(IOMMU)['mappedPages']!;

it('36: a dma-buf is mapped without pins and charges, and revoking it takes it out of every domain at once', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const [ioas, other, buf] = [await p.ioas(), await p.ioas(), await dmabuf(p, 4 * PAGE)];
  await p.mock(ioas);
  await p.mock(other);
  expect(await p.mapFile(ioas, APERTURE, buf, 0, 4 * PAGE)).toBeUndefined();
  expect(await p.copy(ioas, APERTURE, other, APERTURE, 4 * PAGE)).toBeUndefined();
  expect(mapped(lab)).toBe(16);
  expect(await p.counters()).toEqual({ pinned: 0, locked: 0, user: 0 });
  expect(await p.mapFile(ioas, APERTURE + 0x100000n, buf, PAGE, 4 * PAGE)).toBe('EINVAL');

  expect(await revoke(p, buf, 1)).toBeUndefined();
  expect(mapped(lab)).toBe(0);
  // The areas stay, later domains skip them, and lending the memory out again does not bring them back.
  expect(await p.map(ioas, APERTURE, await p.memory(PAGE), PAGE)).toBe('EEXIST');
  expect(await p.mockErrno(ioas)).toBeUndefined();
  expect(await revoke(p, buf, 0)).toBeUndefined();
  expect(await p.mockErrno(other)).toBeUndefined();
  expect(mapped(lab)).toBe(0);
  expect(await p.unmap(ioas, 0n, ALL)).toBe(BigInt(4 * PAGE));
  expect(await p.mapFile(ioas, APERTURE, buf, 0, 4 * PAGE)).toBeUndefined();
  expect(mapped(lab)).toBe(8);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('36: the maps of a dma-buf outlive its fd', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const [ioas, buf] = [await p.ioas(), await dmabuf(p, PAGE)];
  await p.mock(ioas);
  expect(await p.mapFile(ioas, APERTURE, buf, 0, PAGE)).toBeUndefined();
  await p.close(buf);
  expect(mapped(lab)).toBe(2);
  expect(await p.mockErrno(ioas)).toBeUndefined();
  expect(await p.unmap(ioas, APERTURE, PAGE)).toBe(BigInt(PAGE));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
