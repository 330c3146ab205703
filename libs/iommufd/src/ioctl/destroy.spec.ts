import {
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  iommu_test_create_access,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
} from '@vfiolab/uapi';
import { ALONE, bench, FIRST } from '../testing/bench.js';
import { APERTURE, MockBench } from '../testing/mock-bench.js';
import { refusal, refused } from '../testing/refusal.js';

it('an id that does not exist is ENOENT', async () => {
  const b = await bench();
  await b.ioas();
  for (const id of [0, 7, 0xffffffff]) expect(await refusal(b, IOMMU_DESTROY, { id })).toEqual(refused('ENOENT'));
});

it('an IOAS with areas and nothing else goes, and its id is free again', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  expect(await b.map(ioas, 0x1000n, 4096n, await b.memory(4096))).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBe('ENOENT');
  expect(await b.ioas()).toBe(ioas);
  expect(b.host.figures('pages').stores).toBe(0);
});

it('whatever is in use is EBUSY, in every order that a device makes (b013)', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { dev, id } = await b.bind(ALONE);
  const { pt_id: hwpt } = (await b.attach(dev, ioas)).out as unknown as { pt_id: number };
  for (const used of [ioas, id, hwpt]) expect(await b.errno(IOMMU_DESTROY, { id: used })).toBe('EBUSY');
  expect(await b.detach(dev)).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: hwpt })).toBe('ENOENT');
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id })).toBe('EBUSY');
  await b.close(dev);
  expect(await b.errno(IOMMU_DESTROY, { id })).toBe('ENOENT');
  expect(b.host.broken()).toEqual([]);
});

it('a HWPT that was made by hand stays until it is destroyed, and holds its IOAS', async () => {
  const b = await bench();
  const ioas = await b.ioas();
  const { dev, id } = await b.bind(FIRST);
  const hwpt = (await b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: id, pt_id: ioas })).out.out_hwpt_id;
  await b.attach(dev, hwpt);
  expect(await b.errno(IOMMU_DESTROY, { id: hwpt })).toBe('EBUSY');
  await b.detach(dev);
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBe('EBUSY');
  expect(await b.errno(IOMMU_DESTROY, { id: hwpt })).toBeUndefined();
  expect(await b.errno(IOMMU_DESTROY, { id: ioas })).toBeUndefined();
  expect(b.host.figures('iommu').domains).toBe(0);
});

/** Every type of object, with something that holds each. */
async function everything() {
  const b = await MockBench.boot('7.2');
  const ioas = await b.ioas();
  const { object, device, hwpt } = await b.mock(ioas);
  await b.map(ioas, APERTURE, 4096n, await b.memory(4096));
  const parent = await b.hwpt(device, ioas, 1);
  const type = 0xdeadbeef;
  const made = { type, dev_id: device, hwpt_id: parent };
  const viommu = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  const id = { viommu_id: viommu, dev_id: device, virt_id: 9n };
  const vdevice = (await b.ioctl(IOMMU_VDEVICE_ALLOC, id)).out.out_vdevice_id;
  const events = { viommu_id: viommu, type: 0xbeefbeef, veventq_depth: 1 };
  const { out_veventq_id: veventq, out_veventq_fd } = (await b.ioctl(IOMMU_VEVENTQ_ALLOC, events)).out;
  const queue = { viommu_id: viommu, type, nesting_parent_iova: APERTURE, length: 4096n };
  const hwQueue = async (index: number) =>
    (await b.ioctl(IOMMU_HW_QUEUE_ALLOC, { ...queue, index })).out.out_hw_queue_id;
  const [queue0, queue1] = [await hwQueue(0), await hwQueue(1)];
  const { out_fault_id: fault, out_fault_fd } = (await b.ioctl(IOMMU_FAULT_QUEUE_ALLOC)).out;
  const held = await b.ioas();
  const access = await b.op(IOMMU_TEST_OP_CREATE_ACCESS, iommu_test_create_access, held);
  const ids = { ioas, object, device, hwpt, parent, viommu, vdevice, veventq, queue0, queue1, fault, held };
  return { b, ids, fds: { fault: out_fault_fd, veventq: out_veventq_fd, access: access.arm.out_access_fd } };
}

it.each([
  ['an IOAS under HWPTs', 'ioas'],
  ['an IOAS with an access', 'held'],
  ['a HWPT with a device attached', 'hwpt'],
  ['a HWPT under a vIOMMU', 'parent'],
  ['a vIOMMU with a vDEVICE and queues', 'viommu'],
  ['a hardware queue before another one', 'queue0'],
  ['an event queue whose file is open', 'veventq'],
  ['a fault queue whose file is open', 'fault'],
  ['a device', 'device'],
] as const)('%s is EBUSY', async (_what, which) => {
  const { b, ids } = await everything();
  expect(await refusal(b, IOMMU_DESTROY, { id: ids[which] })).toEqual(refused('EBUSY'));
});

it('an access is EBUSY: its driver holds it', async () => {
  const { b, ids } = await everything();
  expect(await refusal(b, IOMMU_DESTROY, { id: ids.held + 1 })).toEqual(refused('EBUSY'));
});

it('from the last to the first everything can go', async () => {
  const { b, ids, fds } = await everything();
  for (const fd of Object.values(fds)) await b.must(b.p.close(fd));
  const { ioas, object, parent, viommu, vdevice, veventq, queue0, queue1, fault, held } = ids;
  for (const id of [queue1, queue0, veventq, vdevice, viommu, parent, object, ioas, fault, held])
    expect(await b.errno(IOMMU_DESTROY, { id })).toBeUndefined();
  expect(b.host.figures('iommufd').objects).toBe(0);
  expect(await b.afterExit()).toEqual([]);
});

it('a vDEVICE whose device is gone is ENOENT for good', async () => {
  const { b, ids } = await everything();
  await b.errno(IOMMU_DESTROY, { id: ids.object });
  expect(await refusal(b, IOMMU_DESTROY, { id: ids.vdevice })).toEqual(refused('ENOENT'));
});

it('an object that is being made is ENOENT', async () => {
  const b = await MockBench.boot();
  const ioas = await b.ioas();
  const { device, hwpt } = await b.mock(ioas);
  const made = b.p.ioctl(b.fd, IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: ioas });
  const gone = b.p.ioctl(b.fd, IOMMU_DESTROY, { id: Math.max(device, hwpt) + 1 });
  const [alloc, destroy] = await b.run(Promise.all([made, gone]));
  expect([alloc.errno, destroy.errno]).toEqual([undefined, 'ENOENT']);
  expect(alloc.out.out_hwpt_id).toBe(Math.max(device, hwpt) + 1);
});
