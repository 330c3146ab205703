/** Capability 67: many devices, one IOMMU, and none of them is special: every order of binding gives the same. */
import { VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD, IOMMU_IOAS_ALLOC } from '@vfiolab/uapi';
import { NOTHING } from './support/container-lab.js';
import { ALONE, OTHER, program2010, SIBLINGS } from './support/designs-2010.js';

const FOUR = [ALONE, SIBLINGS[0], SIBLINGS[1], OTHER];
const ORDERS = [
  [0, 1, 2, 3],
  [3, 2, 1, 0],
  [2, 0, 3, 1],
];

it.each(ORDERS)('67: BIND of 2010 in the order %i %i %i %i', async (...order) => {
  const t = await program2010();
  const domain = await t.domain();
  const va = await t.mapped(domain);
  const fds: number[] = [];
  for (const bdf of FOUR) fds.push(await t.device(bdf));
  for (const i of order) expect(await t.bind(fds[i]!, domain)).toBe(0);
  for (const fd of fds) expect(await t.sees(fd, va)).toBe(true);
  expect(t.lab.held()).toMatchObject({ 'iommu domains': 1, 'iommu mappedPages': 2, 'groups ownedGroups': 3 });
  // Nor does it matter who goes first, as long as one is left.
  for (const i of order.slice(0, 3)) {
    await t.p.close(fds[i]!);
    expect(await t.sees(fds[order[3]!]!, va)).toBe(true);
  }
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});

it.each(ORDERS)('67: iommufd in the order %i %i %i %i', async (...order) => {
  const t = await program2010();
  const { p } = t;
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const { out } = await p.ioctl(iommufd, IOMMU_IOAS_ALLOC, {});
  const hwpts = new Set<number>();
  for (const i of order) {
    const [name] = await p.must(p.process.listdir(`/sys/bus/pci/devices/${FOUR[i]!}/vfio-dev`));
    const fd = await p.must(p.process.open(`/dev/vfio/devices/${name}`));
    expect((await p.ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, { iommufd })).errno).toBeUndefined();
    const attached = await p.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: out.out_ioas_id });
    expect(attached.errno).toBeUndefined();
    hwpts.add(attached.out.pt_id);
  }
  expect(hwpts.size).toBe(1);
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});
