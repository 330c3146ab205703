import { VFIO_IOMMU_DISABLE, VFIO_IOMMU_ENABLE } from '@vfiolab/uapi';
import { CREATE, FIRST, GET_INFO, power, REGISTER, SECOND, TCE, V1, V2, WHOLE, wholeness } from '../testing/power.js';

const WINDOW_KB = 2 * 1024 * 1024;

it('v1 charges its whole window, and the table with the first MAP; DISABLE leaves both mapping and table (p014)', async () => {
  const { b, fd, va, container } = await power(V1);
  const ask = async (nr: number) => (await b.plain(fd, nr)).errno;
  expect(await ask(VFIO_IOMMU_ENABLE.nr)).toBeUndefined();
  expect(await b.lockedKb()).toBe(WINDOW_KB);
  expect(await ask(VFIO_IOMMU_ENABLE.nr)).toBe('EBUSY');
  expect(await b.map(fd, { vaddr: va, iova: 0n, size: TCE })).toBeUndefined();
  expect(await b.lockedKb()).toBe(WINDOW_KB + 8192);
  expect([await ask(VFIO_IOMMU_DISABLE.nr), await ask(VFIO_IOMMU_DISABLE.nr)]).toEqual([undefined, undefined]);
  expect(await b.lockedKb()).toBe(8192);
  expect(await b.dmaWrite(FIRST.members[0]!, 0n)).toBe(true);
  expect(await b.map(fd, { vaddr: va, iova: 0n, size: TCE })).toBe('EPERM');
  await b.leave(container, FIRST);
  await b.close(fd);
  expect([await b.lockedKb(), b.left()]).toEqual([0, {}]);
  expect(wholeness(b)).toEqual(WHOLE);
});

it('ENOMEM: the limit; then nothing is enabled, though the process owns the container', async () => {
  const { b, fd } = await power(V1, { credentials: { uid: 1000, caps: 0, memlock: 1 << 20 } });
  expect((await b.plain(fd, VFIO_IOMMU_ENABLE.nr)).errno).toBe('ENOMEM');
  expect(await b.lockedKb()).toBe(0);
});

it('each version has ioctls of its own; v1 takes one group (p012, p013)', async () => {
  const one = await power(V1);
  for (const def of [REGISTER, CREATE]) expect((await one.b.ioctl(one.fd, def)).errno).toBe('ENOTTY');
  expect(await one.b.join(one.fd, SECOND)).toEqual({ ok: false, errno: 'EBUSY' });
  const two = await power(V2);
  for (const { nr } of [VFIO_IOMMU_ENABLE, VFIO_IOMMU_DISABLE])
    expect((await two.b.plain(two.fd, nr)).errno).toBe('ENOTTY');
});

describe('GET_INFO', () => {
  it.each([
    ['ppc64-pnv', V2, 0x8000_0000, { pgsizes: 0x40211000n, max_dynamic_windows_supported: 2, levels: 5 }, 1],
    ['ppc64-pseries', V2, 0x4000_0000, { pgsizes: 0x1211000n, max_dynamic_windows_supported: 2, levels: 1 }, 1],
    ['ppc64-pnv', V1, 0x8000_0000, { pgsizes: 0n, max_dynamic_windows_supported: 0, levels: 0 }, 0],
  ])('%s, version %i (p015, p016)', async (iommu, version, size, ddw, flags) => {
    const { b, fd } = await power(version, { iommu });
    const { out } = await b.ioctl(fd, GET_INFO);
    expect(out).toMatchObject({ flags, dma32_window_start: 0, dma32_window_size: size, ddw });
  });

  it('a short argsz is EINVAL; one with room for a part gets nothing of it', async () => {
    const { b, fd } = await power(V2);
    expect((await b.ioctl(fd, GET_INFO, { argsz: 15 })).errno).toBe('EINVAL');
    const { out } = await b.ioctl(fd, GET_INFO, { argsz: 24, ddw: { pgsizes: 7n } });
    expect(out).toMatchObject({ flags: 1, dma32_window_size: 0x8000_0000, ddw: { pgsizes: 7n } });
  });
});
