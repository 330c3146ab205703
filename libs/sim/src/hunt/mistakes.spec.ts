/**
 * Mistakes that the hunts found, each in its smallest form.
 */
import {
  IOMMU_DESTROY,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  iommu_test_dirty,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VFIO_IOAS,
  VFIO_IOMMU_UNMAP_DMA,
} from '@vfiolab/uapi';
import { decodeHeader, PAGES, pagesApi } from '@vfiolab/core';
import { attached, hwpt, viommu } from './pieces.js';
import { boot } from './machine.js';
import { APERTURE, type Session, type World } from './world.js';

const start = async (): Promise<{ world: World; s: Session }> => {
  const world = await boot({ kind: 'mock' });
  return { world, s: await (await world.program('program')).session() };
};

/** Both calls, the second one some hops later; errnos do not matter. */
const together = (world: World, hops: number, first: () => Promise<unknown>, second: () => Promise<unknown>) =>
  world.host.together(() => Promise.allSettled([first(), world.host.pause(hops * 0.05).then(second)]));

// What is left is told to the pages service when the areas go: 512 areas after 140 such HWPTs do not fit one message.
it('a HWPT that was made and destroyed leaves nothing, also when another one holds the same areas', async () => {
  const { world, s } = await start();
  const a = await attached(s);
  const before = world.meaning(PAGES);
  await s.ioctl(IOMMU_DESTROY, { id: await hwpt(s, a) });
  expect(world.meaning(PAGES).equals(before)).toBe(true);
});

it('the last device of an IOAS goes while another one comes', async () => {
  const { world, s } = await start();
  const { ioas, object } = await attached(s);
  await together(
    world,
    0,
    () => s.mock(ioas),
    () => s.ioctl(IOMMU_DESTROY, { id: object }),
  );
  expect(world.wrong()).toEqual([]);
});

it('a device goes while it gets an id in a vIOMMU: the service can be restarted', async () => {
  const { world, s } = await start();
  const v = await viommu(s);
  const { object, device } = await s.mock(v.ioas);
  const id = { viommu_id: v.viommu, dev_id: device, virt_id: 5n };
  await together(
    world,
    0,
    () => s.ioctl(IOMMU_DESTROY, { id: object }),
    () => s.ioctl(IOMMU_VDEVICE_ALLOC, id),
  );
  expect(world.wrong()).toEqual([]);
});

it('an area of a type 1 container is cut while a domain is filled', async () => {
  for (let hops = 1; hops < 6; hops += 0.5) {
    const { world, s } = await start();
    const ioas_id = await s.ioas();
    await s.ioctl(IOMMU_VFIO_IOAS, { op: 1, ioas_id });
    await s.ioctl(IOMMU_OPTION, { option_id: 1, op: 0, object_id: ioas_id, val64: 0n });
    await s.map(ioas_id, APERTURE, 32768n);
    const { device: dev_id } = await s.mock(ioas_id);
    const cut = { argsz: 24, iova: APERTURE + 8192n, size: 8192n };
    const fill = () => s.ioctl(IOMMU_HWPT_ALLOC, { dev_id, pt_id: ioas_id });
    await together(world, hops, fill, () => s.ioctl(VFIO_IOMMU_UNMAP_DMA, cut));
    await s.program.closeAll();
    expect(world.wrong()).toEqual([]);
  }
});

it('two areas of one store are unmapped at once, and the first message to the pages service is late', async () => {
  const { world, s } = await start();
  const { ioas: ioas_id } = await attached(s);
  const places = { src_ioas_id: ioas_id, dst_ioas_id: ioas_id, src_iova: APERTURE, dst_iova: APERTURE + 65536n };
  await s.ioctl(IOMMU_IOAS_COPY, { flags: 7, length: 4096n, ...places });
  let lost = false;
  world.host.host.watch((_from, to, frame, when) => {
    const first = when === 'leaving' && !lost && to === PAGES && decodeHeader(frame).method === pagesApi.unpinMany.id;
    lost ||= first;
    return first;
  });
  const unmap = (iova: bigint, length: bigint) => s.ioctl(IOMMU_IOAS_UNMAP, { ioas_id, iova, length });
  await together(
    world,
    0,
    () => unmap(APERTURE, 16384n),
    () => unmap(APERTURE + 65536n, 4096n),
  );
  expect(world.wrong()).toEqual([]);
});

it('memory of a hardware queue is not unmapped while the queue is made', async () => {
  for (let hops = 0; hops < 8; hops++) {
    const { world, s } = await start();
    const v = await viommu(s);
    const range = { iova: APERTURE, length: 16384n };
    const queue = { viommu_id: v.viommu, type: 0xdeadbeef, nesting_parent_iova: APERTURE, length: 4096n };
    const make = () => s.ioctl(IOMMU_HW_QUEUE_ALLOC, queue);
    const ended = await together(world, hops, make, () => s.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: v.ioas, ...range }));
    expect([hops, ended.every(({ status }) => status === 'fulfilled')]).toEqual([hops, false]);
  }
});

it('DIRTY of the self-test with a page number of 2^60', async () => {
  const { world, s } = await start();
  const { device, ioas } = await attached(s);
  const { out_hwpt_id } = await s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: ioas, flags: 2 });
  const arm = { iova: 1n << 63n, length: 4096n, page_size: 8n, uptr: s.va };
  // Any errno will do, or none.
  await s.op(IOMMU_TEST_OP_DIRTY, iommu_test_dirty, out_hwpt_id, arm).catch(() => undefined);
  expect(world.host.host.failures).toEqual([]);
});
