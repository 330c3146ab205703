import {
  IOMMU_DESTROY,
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  iommu_test_mock_domain_replace,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_TRIGGER_IOPF,
  iommu_test_trigger_iopf,
} from '@vfiolab/uapi';
import { POLLIN, POLLOUT, streamApi } from '@vfiolab/core';
import { BoundDevice, Context } from './context.js';
import { FaultQueue, MAX_GROUPS, RID } from './fault-queue.js';
import type { Hwpt } from './nested-hwpt.js';
import { MockBench } from './testing/mock-bench.js';

const RECORD = 40;
const words = (...n: number[]): Uint8Array => new Uint8Array(Uint32Array.from(n).buffer);

describe('the queue', () => {
  const device = new BoundDevice('iommufd_mock0', new Context(1).igroup(1, []));
  const hwpt = { id: 1 } as Hwpt;
  const group = (requests = 1) => ({
    pasid: RID,
    device,
    hwpt,
    requests: Array.from({ length: requests }, () => ({ flags: 2, pasid: 0, grpid: 1, perm: 1, addr: 0n })),
    request: 0,
  });
  // Nothing waits for the answers, so the operation ends at once.
  const respond = (queue: FaultQueue, ...answer: number[]) =>
    expect(queue.write(words(...answer)).next().done).toBe(true);

  it('a group is never split: a read takes those that fit, and is EINVAL when the first does not', () => {
    const queue = new FaultQueue();
    for (const n of [2, 1]) queue.report(group(n));
    expect(queue.read(RECORD)).toEqual({ ok: false, errno: 'EINVAL' });
    expect(queue.read(2 * RECORD)).toMatchObject({ ok: true, value: { length: 2 * RECORD } });
    expect(queue.delivered.size).toBe(1);
  });

  it(`keeps ${MAX_GROUPS} groups, waiting and delivered together; one more is answered with failure`, () => {
    const queue = new FaultQueue();
    for (let i = 0; i < MAX_GROUPS; i++) expect(queue.report(group())).toBe(true);
    queue.read(RECORD);
    expect(queue.report(group())).toBe(false);
    respond(queue, 1, 0);
    expect(queue.report(group())).toBe(true);
  });

  it('cookies are the lowest free numbers from 1', () => {
    const queue = new FaultQueue();
    for (let i = 0; i < 4; i++) queue.report(group());
    queue.read(3 * RECORD);
    respond(queue, 2, 1);
    queue.read(RECORD);
    expect([...queue.delivered.keys()].sort()).toEqual([1, 2, 3]);
  });
});

/** A device on a nested HWPT with a fault queue. */
async function setup() {
  const b = await MockBench.boot();
  const ioas = await b.ioas();
  const { object, device } = await b.mock(ioas);
  const { out_fault_id: queue, out_fault_fd: fd } = (await b.ioctl(IOMMU_FAULT_QUEUE_ALLOC)).out;
  const parent = await b.hwpt(device, ioas, 1);
  const data = { data_type: 0xdead, data_len: 4, data_uptr: new Uint8Array(4) };
  const base = { dev_id: device, pt_id: parent, ...data };
  const nested = (await b.ioctl(IOMMU_HWPT_ALLOC, { ...base, flags: 4, fault_id: queue })).out.out_hwpt_id;
  const replace = async (pt_id: number) =>
    (await b.op(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, iommu_test_mock_domain_replace, object, { pt_id })).errno;
  await replace(nested);
  const fault = (fields = {}) =>
    b.op(IOMMU_TEST_OP_TRIGGER_IOPF, iommu_test_trigger_iopf, 0, {
      dev_id: device,
      pasid: 7,
      addr: 0x1000n,
      ...fields,
    });
  const { token, owner } = b.p.fileOf(fd);
  const read = (length: number) => b.run(b.p.link.call(owner, streamApi.read, { token, length }));
  const write = (bytes: Uint8Array) => b.run(b.p.link.call(owner, streamApi.write, { token, data: bytes }));
  const poll = async () => b.must(b.p.link.call(owner, streamApi.poll, { token }));
  return { b, ioas, queue, fd, nested, device, fault, read, write, poll, replace };
}

it('a request is read under a cookie, and answered once (a034)', async () => {
  const s = await setup();
  expect(await s.poll()).toBe(POLLOUT);
  expect(await s.read(RECORD)).toEqual({ ok: false, errno: 'EAGAIN' });
  await s.fault();
  expect(await s.poll()).toBe(POLLIN | POLLOUT);
  expect(await s.read(RECORD - 1)).toEqual({ ok: false, errno: 'ESPIPE' });
  const record = await s.read(10 * RECORD);
  expect(record.ok && [...new Uint32Array(record.value.slice().buffer)]).toEqual([
    3,
    s.device,
    7,
    0,
    0,
    0,
    0x1000,
    0,
    0,
    1,
  ]);
  expect(await s.b.reread()).toBe(true);
  expect(await s.write(words(1))).toEqual({ ok: false, errno: 'ESPIPE' });
  expect(await s.write(words(1, 2))).toEqual({ ok: false, errno: 'EINVAL' });
  expect(await s.write(words(1, 0, 1, 0))).toEqual({ ok: true, value: 8 });
  expect(await s.write(words(1, 0))).toEqual({ ok: false, errno: 'EINVAL' });
  expect(await s.b.afterExit()).toEqual([]);
});

it('what waits and what is delivered is answered when the device leaves the HWPT (a054)', async () => {
  const s = await setup();
  for (let i = 0; i < 2; i++) await s.fault();
  await s.read(RECORD);
  await s.replace(s.ioas);
  expect(await s.poll()).toBe(POLLOUT);
  expect(await s.write(words(1, 0))).toEqual({ ok: false, errno: 'EINVAL' });
});

it('the HWPT and the open file hold the queue; the file holds the context', async () => {
  const s = await setup();
  const destroy = (id: number) => s.b.errno(IOMMU_DESTROY, { id });
  expect(await destroy(s.queue)).toBe('EBUSY');
  await s.replace(s.ioas);
  expect(await destroy(s.nested)).toBeUndefined();
  expect(await destroy(s.queue)).toBe('EBUSY');
  await s.b.must(s.b.p.close(s.b.fd));
  expect(s.b.host.figures('iommufd').contexts).toBe(1);
  await s.b.must(s.b.p.close(s.fd));
  expect(s.b.host.figures('iommufd').contexts).toBe(0);
});

it.each([
  ['a flag', { flags: 1 }, 'EOPNOTSUPP'],
  ['a paging HWPT cannot have one before 7.2', undefined, 'EOPNOTSUPP'],
] as const)('%s', async (_why, fields, errno) => {
  const s = await setup();
  if (fields) expect(await s.b.errno(IOMMU_FAULT_QUEUE_ALLOC, fields)).toBe(errno);
  else
    expect(await s.b.errno(IOMMU_HWPT_ALLOC, { dev_id: s.device, pt_id: s.ioas, flags: 4, fault_id: s.queue })).toBe(
      errno,
    );
});

it('TRIGGER_IOPF: a device that does not exist is ENOENT; a request that nobody handles is success', async () => {
  const s = await setup();
  expect((await s.fault({ dev_id: 99 })).errno).toBe('ENOENT');
  await s.replace(s.ioas);
  expect((await s.fault()).errno).toBeUndefined();
  expect(await s.poll()).toBe(POLLOUT);
});
