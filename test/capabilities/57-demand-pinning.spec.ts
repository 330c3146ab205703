/**
 * Capability 57: pinning on demand, by a device's fault. Linux has none that the kernel manages; user space can map what a
 * device lacked and let it try again (page requests of guests' tables: capability 23).
 */
import { IOMMU, iommuApi, PAGES } from '@vfiolab/core';
import { IOMMU_IOAS_MAP } from '@vfiolab/uapi';
import { BDFS, Host, MAPPED, NOTHING } from './support/passthrough.js';

const IOVA = 0x100000n;

it('57: a device that lacks a page pins nothing; it gets through when user space has mapped the page, and not before', async () => {
  const lab = await Host.boot();
  const p = await lab.program('vmm');
  const device = await p.device();
  const va = await p.must(p.process.mmap(4096));
  await p.must(p.process.write(va, new Uint8Array(8).fill(0xaa)));
  const pins = () => lab.host.figures(PAGES)['pins'];
  const faults = () => lab.host.run(p.process.link.call(IOMMU, iommuApi.faults, { bdf: BDFS[0] }));
  const before = pins();
  for (let n = 1; n <= 3; n++) {
    await device.store(IOVA, 8);
    expect([pins(), (await faults()).length]).toEqual([before, n]);
  }
  expect([...(await p.must(p.process.read(va, 8)))]).toEqual(Array(8).fill(0xaa));
  const map = { flags: MAPPED, ioas_id: p.ioas, user_va: BigInt(va), length: 4096n, iova: IOVA };
  await p.ioctl(p.iommufd, IOMMU_IOAS_MAP, map);
  expect(pins()).toBe(before! + 1);
  await device.store(IOVA, 8);
  expect([...(await p.must(p.process.read(va, 8)))]).toEqual(Array(8).fill(0));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
