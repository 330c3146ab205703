import {
  IOMMU_DESTROY,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_INVALIDATE,
  IOMMU_IOAS_UNMAP,
  iommu_test_check_dev_cache,
  iommu_test_mock_domain_replace,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  iommu_test_trigger_vevent,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VIOMMU_ALLOC,
} from '@vfiolab/uapi';
import { streamApi } from '@vfiolab/core';
import { APERTURE, MockBench } from './testing/mock-bench.js';

const TYPE = 0xdeadbeef;
const EVENTS = 0xbeefbeef;
const words = (...n: number[]): Uint8Array => new Uint8Array(Uint32Array.from(n).buffer);

async function setup() {
  const b = await MockBench.boot('7.2');
  const ioas = await b.ioas();
  const { object, device } = await b.mock(ioas);
  const parent = await b.hwpt(device, ioas, 1);
  const plain = await b.hwpt(device, ioas);
  const base = { type: TYPE, dev_id: device, hwpt_id: parent };
  const viommu = (await b.ioctl(IOMMU_VIOMMU_ALLOC, base)).out.out_viommu_id;
  const vdevice = (virt_id = 0x99n, dev_id = device) =>
    b.ioctl(IOMMU_VDEVICE_ALLOC, { viommu_id: viommu, dev_id, virt_id });
  const nestedOn = async (pt_id: number) =>
    b.ioctl(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id, data_type: 0xdead, data_len: 4, data_uptr: words(1) });
  const replace = async (pt_id: number) =>
    (await b.op(IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, iommu_test_mock_domain_replace, object, { pt_id })).errno;
  const destroy = (id: number) => b.errno(IOMMU_DESTROY, { id });
  return { b, ioas, object, device, parent, plain, base, viommu, vdevice, nestedOn, replace, destroy };
}

it('before 7.2 there is none of it', async () => {
  const b = await MockBench.boot();
  for (const ioctl of [IOMMU_VIOMMU_ALLOC, IOMMU_VDEVICE_ALLOC, IOMMU_VEVENTQ_ALLOC, IOMMU_HW_QUEUE_ALLOC])
    expect(await b.errno(ioctl as typeof IOMMU_VIOMMU_ALLOC)).toBe('ENOTTY');
});

it.each([
  ['a flag, before everything', { flags: 1, dev_id: 99 }, 'EOPNOTSUPP'],
  ['type 0', { type: 0 }, 'EOPNOTSUPP'],
  ['a device that does not exist, before the type', { type: 99, dev_id: 99 }, 'ENOENT'],
  ['a type that the driver lacks, before the HWPT', { type: 99, hwpt_id: 99 }, 'EOPNOTSUPP'],
  ['a HWPT that does not exist', { hwpt_id: 99 }, 'ENOENT'],
  ['a HWPT that is no nest parent', { hwpt_id: 'plain' }, 'EINVAL'],
  ['data that is too short', { data_len: 4, data_uptr: words(7) }, 'EINVAL'],
  ['data that is too long', { data_len: 32, data_uptr: new Uint8Array(32) }, 'EINVAL'],
  ['data that is not there', { data_len: 24, data_uptr: 0x1000n }, 'EFAULT'],
] as const)('VIOMMU_ALLOC: %s (c030)', async (_why, fields, errno) => {
  const { b, base, plain } = await setup();
  const hwpt_id = 'hwpt_id' in fields ? (fields.hwpt_id === 'plain' ? plain : fields.hwpt_id) : base.hwpt_id;
  expect(await b.errno(IOMMU_VIOMMU_ALLOC, { ...base, ...fields, hwpt_id })).toBe(errno);
  expect(b.host.broken()).toEqual([]);
});

it('the driver sends the word back and names the lowest free window', async () => {
  const { b, base, destroy } = await setup();
  const make = async () => {
    const data_uptr = new Uint8Array(24);
    data_uptr[0] = 0x77;
    const { out } = await b.ioctl(IOMMU_VIOMMU_ALLOC, { ...base, data_len: 24, data_uptr });
    const view = new DataView(data_uptr.buffer);
    return { id: out.out_viommu_id, word: view.getUint32(4, true), offset: view.getBigUint64(8, true) };
  };
  const [one, two] = [await make(), await make()];
  expect([one.word, one.offset, two.offset]).toEqual([0x77, 0x1000n, 0x3000n]);
  await destroy(one.id);
  expect((await make()).offset).toBe(0x1000n);
});

it('a device has one id in one vIOMMU, and an id belongs to one device (c035)', async () => {
  const s = await setup();
  const { device: other } = await s.b.mock(s.ioas);
  const first = await s.vdevice();
  expect((await s.vdevice(0x98n)).errno).toBe('EEXIST');
  expect((await s.vdevice(0x99n, other)).errno).toBe('EEXIST');
  expect((await s.vdevice(1n, 99)).errno).toBe('ENOENT');
  expect(await s.destroy(s.viommu)).toBe('EBUSY');
  expect(await s.b.reread()).toBe(true);
  expect(await s.destroy(first.out.out_vdevice_id)).toBeUndefined();
  expect(await s.destroy(s.viommu)).toBeUndefined();
  expect(await s.b.afterExit()).toEqual([]);
});

it('a device that goes takes its vDEVICE along, and the id is never used again (SURPRISES 56)', async () => {
  const s = await setup();
  const id = (await s.vdevice()).out.out_vdevice_id;
  expect(await s.destroy(s.object)).toBeUndefined();
  expect(await s.destroy(id)).toBe('ENOENT');
  expect(await s.b.reread()).toBe(true);
  const next = [await s.b.ioas(), await s.b.ioas(), await s.b.ioas(), await s.b.ioas()];
  expect(next).not.toContain(id);
  expect(await s.destroy(s.viommu)).toBeUndefined();
});

it('a nested HWPT of a vIOMMU holds it, and wants a device that has an id there', async () => {
  const s = await setup();
  const nested = (await s.nestedOn(s.viommu)).out.out_hwpt_id;
  expect(await s.destroy(s.viommu)).toBe('EBUSY');
  expect(await s.replace(nested)).toBe('ENOENT');
  await s.vdevice();
  expect(await s.replace(nested)).toBeUndefined();
  expect(s.b.host.broken()).toEqual([]);
});

it('events carry the virtual id and are numbered; without a queue or an id there is nobody to tell (c044)', async () => {
  const s = await setup();
  const trigger = async () =>
    (await s.b.op(IOMMU_TEST_OP_TRIGGER_VEVENT, iommu_test_trigger_vevent, 0, { dev_id: s.device })).errno;
  expect(await trigger()).toBe('ENOENT');
  await s.vdevice();
  await s.replace((await s.nestedOn(s.viommu)).out.out_hwpt_id);
  expect(await trigger()).toBe('EOPNOTSUPP');
  const queue = (await s.b.ioctl(IOMMU_VEVENTQ_ALLOC, { viommu_id: s.viommu, type: EVENTS, veventq_depth: 1 })).out;
  for (let i = 0; i < 2; i++) expect(await trigger()).toBeUndefined();
  expect(await s.b.reread()).toBe(true);
  const { token, owner } = s.b.p.fileOf(queue.out_veventq_fd);
  const read = await s.b.must(s.b.p.link.call(owner, streamApi.read, { token, length: 64 }));
  expect([...new Uint32Array(read.slice().buffer)]).toEqual([0, 0, 0x99, 1, 1]);
  expect(await s.destroy(queue.out_veventq_id)).toBe('EBUSY');
  await s.b.must(s.b.p.close(queue.out_veventq_fd));
  expect(await s.destroy(queue.out_veventq_id)).toBeUndefined();
  expect(await s.b.afterExit()).toEqual([]);
});

it.each([
  ['a flag', { flags: 1 }, 'EOPNOTSUPP'],
  ['type 0', { type: 0 }, 'EOPNOTSUPP'],
  ['no depth, before the vIOMMU', { veventq_depth: 0, viommu_id: 99 }, 'EINVAL'],
  ['a depth over 524288', { veventq_depth: 524289 }, 'EINVAL'],
  ['a vIOMMU that does not exist', { viommu_id: 99 }, 'ENOENT'],
] as const)('VEVENTQ_ALLOC: %s', async (_why, fields, errno) => {
  const s = await setup();
  const queue = { viommu_id: s.viommu, type: EVENTS, veventq_depth: 524288 };
  expect(await s.b.errno(IOMMU_VEVENTQ_ALLOC, { ...queue, ...fields })).toBe(errno);
  expect(await s.b.errno(IOMMU_VEVENTQ_ALLOC, queue)).toBeUndefined();
  expect(await s.b.errno(IOMMU_VEVENTQ_ALLOC, queue)).toBe('EEXIST');
});

it.each([
  ['one slot', words(0, 0x99, 2), 12, 1, undefined, 1],
  ['a short entry', words(0, 0x99), 8, 1, undefined, 1],
  ['an entry that is too short', words(0), 4, 1, 'EINVAL', 0],
  ['a longer one with zeros', words(0, 0x99, 2, 0), 16, 1, undefined, 1],
  ['a longer one with something in it: none is done', words(0, 0x99, 2, 0, 0, 0x99, 2, 1), 16, 2, 'E2BIG', 0],
  ['an unknown virtual id behind a good entry', words(0, 0x99, 0, 0, 0x98, 0), 12, 2, 'EINVAL', 1],
  ['an unknown flag', words(2, 0x99, 0), 12, 1, 'EOPNOTSUPP', 0],
  ['no such slot', words(1, 0x99, 4), 12, 1, 'EINVAL', 0],
  ['memory that ends too early: none is done', words(0, 0x99, 0), 12, 2, 'EFAULT', 0],
] as const)('INVALIDATE of a vIOMMU: %s (c038)', async (_why, data_uptr, entry_len, entry_num, errno, done) => {
  const s = await setup();
  await s.vdevice();
  const array = { hwpt_id: s.viommu, data_type: TYPE, entry_len, entry_num, data_uptr };
  const answer = await s.b.ioctl(IOMMU_HWPT_INVALIDATE, array);
  expect([answer.errno, answer.out.entry_num]).toEqual([errno, done]);
});

it('an invalidation clears the device cache', async () => {
  const s = await setup();
  await s.vdevice();
  const cache = async (slot: number, value: number) =>
    (await s.b.op(IOMMU_TEST_OP_DEV_CHECK_CACHE, iommu_test_check_dev_cache, s.device, { id: slot, cache: value }))
      .errno;
  const array = { hwpt_id: s.viommu, data_type: TYPE, entry_len: 12, entry_num: 1, data_uptr: words(0, 0x99, 2) };
  await s.b.ioctl(IOMMU_HWPT_INVALIDATE, array);
  expect([await cache(2, 0), await cache(1, 0xbaddad), await cache(4, 0)]).toEqual([undefined, undefined, 'EINVAL']);
});

describe('hardware queues', () => {
  async function queues() {
    const s = await setup();
    await s.b.map(s.ioas, APERTURE, 0x4000n, await s.b.memory(0x4000));
    const base = { viommu_id: s.viommu, type: TYPE, index: 0, nesting_parent_iova: APERTURE, length: 4096n };
    return { ...s, base, make: (fields = {}) => s.b.ioctl(IOMMU_HW_QUEUE_ALLOC, { ...base, ...fields }) };
  }

  it.each([
    ['a flag', { flags: 1 }, 'EOPNOTSUPP'],
    ['type 0', { type: 0 }, 'EOPNOTSUPP'],
    ['no length', { length: 0n }, 'EINVAL'],
    ['a range that wraps', { nesting_parent_iova: 0xfffffffffffff000n, length: 8192n }, 'EOVERFLOW'],
    ['pages that wrap', { nesting_parent_iova: 1n, length: 0xffffffffffffffffn }, 'ERANGE'],
    ['more than there is memory for', { length: 0x7fffffffffffffffn }, 'ENOMEM'],
    ['a vIOMMU that does not exist', { viommu_id: 99 }, 'ENOENT'],
    ['a hole, before a bad index', { nesting_parent_iova: 0x9000000n, index: 5 }, 'ENOENT'],
    ['an index out of range', { index: 2 }, 'EINVAL'],
    ['an index before its turn', { index: 1 }, 'EIO'],
  ] as const)('%s (c050)', async (_why, fields, errno) => {
    const { b, make } = await queues();
    expect((await make(fields)).errno).toBe(errno);
    expect(b.host.broken()).toEqual([]);
    expect((await make()).errno).toBeUndefined();
  });

  it('lock what they use, and go from the last to the first', async () => {
    const { b, ioas, make, destroy } = await queues();
    const [zero, one] = [
      await make(),
      await make({ index: 1, nesting_parent_iova: APERTURE + 0x2800n, length: 2048n }),
    ];
    const ids = [zero.out.out_hw_queue_id, one.out.out_hw_queue_id] as const;
    expect((await make()).errno).toBe('EEXIST');
    expect(await b.reread()).toBe(true);
    const unmap = () => b.errno(IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova: APERTURE, length: 0x4000n });
    expect(await unmap()).toBe('EBUSY');
    expect(await destroy(ids[0])).toBe('EBUSY');
    for (const id of [ids[1], ids[0]]) expect(await destroy(id)).toBeUndefined();
    expect(await unmap()).toBeUndefined();
    expect(await b.afterExit()).toEqual([]);
  });

  it('whichever goes, index 0 is free and index 1 stays taken: the driver forgets which it was (r8-0098)', async () => {
    const { b, make, destroy } = await queues();
    const [zero, one] = [await make(), await make({ index: 1 })];
    expect(await destroy(one.out.out_hw_queue_id)).toBeUndefined();
    expect((await make({ index: 1 })).errno).toBe('EEXIST');
    const second = await make();
    expect(second.errno).toBeUndefined();
    expect(await b.reread()).toBe(true);
    for (const { out } of [zero, second]) expect(await destroy(out.out_hw_queue_id)).toBeUndefined();
    expect(await b.afterExit()).toEqual([]);
  });
});
