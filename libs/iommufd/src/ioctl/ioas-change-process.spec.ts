import {
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  type KernelProfile,
} from '@vfiolab/uapi';
import { PAGES, pagesApi } from '@vfiolab/core';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { refusal, refused } from '../testing/refusal.js';

/** A context whose one area shows pages of a file, with a domain. */
async function withFile(profile: KernelProfile = '7.2') {
  const b = await MockBench.boot(profile);
  const ioas_id = await b.ioas();
  const fd = await b.must(b.p.memfds.create());
  await b.must(b.p.memfds.truncate(fd, 65536));
  await b.mock(ioas_id);
  const area = { flags: 7, ioas_id, fd, start: 0n, length: 16384n, iova: APERTURE };
  await b.ioctl(IOMMU_IOAS_MAP_FILE, area);
  return { b, ioas_id };
}

it('before 7.2 there is no such ioctl', async () => {
  const b = await MockBench.boot('6.12');
  expect(await b.errno(IOMMU_IOAS_CHANGE_PROCESS)).toBe('ENOTTY');
});

it.each(['7.2', '7.3'] as const)('files change hands, and so does nothing (%s)', async (profile) => {
  const { b } = await withFile(profile);
  expect(await b.errno(IOMMU_IOAS_CHANGE_PROCESS)).toBeUndefined();
  const empty = await MockBench.boot(profile);
  expect(await empty.errno(IOMMU_IOAS_CHANGE_PROCESS)).toBeUndefined();
});

it('a reserved field is EOPNOTSUPP, before what is mapped', async () => {
  const { b, ioas_id } = await withFile();
  await b.map(ioas_id, APERTURE + 65536n, 4096n, await b.memory(4096));
  expect(await refusal(b, IOMMU_IOAS_CHANGE_PROCESS, { __reserved: 1 })).toEqual(refused('EOPNOTSUPP'));
});

it('memory of a process anywhere in the context is EINVAL, and nothing changes hands', async () => {
  const { b } = await withFile();
  await b.map(await b.ioas(), APERTURE, 4096n, await b.memory(4096));
  expect(await refusal(b, IOMMU_IOAS_CHANGE_PROCESS)).toEqual(refused('EINVAL'));
});

it('a dma-buf is EINVAL', async () => {
  const { b, ioas_id } = await withFile();
  const fd = await b.dmabuf(4096);
  const area = { flags: 7, ioas_id, fd: fd as number, start: 0n, length: 4096n, iova: APERTURE + 65536n };
  expect(await b.errno(IOMMU_IOAS_MAP_FILE, area)).toBeUndefined();
  expect(await refusal(b, IOMMU_IOAS_CHANGE_PROCESS)).toEqual(refused('EINVAL'));
});

it('an area on its way in is EBUSY, before what the others are', async () => {
  const { b, ioas_id } = await withFile();
  const user_va = await b.memory(4096);
  const area = { flags: 7, ioas_id, user_va, length: 4096n, iova: APERTURE + 65536n };
  const mapping = b.p.ioctl(b.fd, IOMMU_IOAS_MAP, area);
  const change = b.p.ioctl(b.fd, IOMMU_IOAS_CHANGE_PROCESS);
  const [mapped, changed] = await b.run(Promise.all([mapping, change]));
  expect([mapped.errno, changed.errno]).toEqual([undefined, 'EBUSY']);
});

it('a new owner who may not hold so much is ENOMEM, and nothing changes hands', async () => {
  const { b } = await withFile();
  const met = b.host.refuse(PAGES, pagesApi.changeProcess, { ok: false, errno: 'ENOMEM' });
  expect(await refusal(b, IOMMU_IOAS_CHANGE_PROCESS)).toEqual(refused('ENOMEM'));
  expect(met()).toBe(true);
});

it('a store that two areas show changes hands once', async () => {
  const { b, ioas_id } = await withFile();
  const copy = { src_ioas_id: ioas_id, dst_ioas_id: ioas_id, src_iova: APERTURE, dst_iova: APERTURE + 65536n };
  expect(await b.errno(IOMMU_IOAS_COPY, { ...copy, flags: 7, length: 8192n })).toBeUndefined();
  expect(await b.errno(IOMMU_IOAS_CHANGE_PROCESS)).toBeUndefined();
  expect(await b.afterExit()).toEqual([]);
});
