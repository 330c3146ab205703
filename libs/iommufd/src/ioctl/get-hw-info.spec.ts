import { IOMMU_GET_HW_INFO } from '@vfiolab/uapi';
import { ALONE, bench } from '../testing/bench.js';
import { MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';

const MOCK_INFO = 0xfeedbeef;

async function setup(profile: '6.12' | '7.2' | '7.3' = '6.12') {
  const b = await MockBench.boot(profile);
  const ioas = await b.ioas();
  return { b, ioas, ...(await b.mock(ioas)) };
}

it.each([
  ['a flag, before the device', { flags: 1, dev_id: 99 }, 'EOPNOTSUPP'],
  ['a reserved byte, before the device', { __reserved: Uint8Array.of(0, 0, 1), dev_id: 99 }, 'EOPNOTSUPP'],
  ['a device that does not exist, before the buffer', { dev_id: 99, data_len: 8, data_uptr: 0x1000n }, 'ENOENT'],
  ['an object that is no device', { dev_id: 'ioas' }, 'ENOENT'],
  ['a buffer that is not there', { data_len: 8, data_uptr: 0x1000n }, 'EFAULT'],
  ['a buffer that cannot be written', { data_len: 8, data_uptr: 'read-only' }, 'EFAULT'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, ioas, device } = await setup();
  const dev_id = 'dev_id' in fields ? (fields.dev_id === 'ioas' ? ioas : fields.dev_id) : device;
  const page = BigInt(await b.must(b.p.mmap(4096, { prot: 1 })));
  const data_uptr = 'data_uptr' in fields ? (fields.data_uptr === 'read-only' ? page : fields.data_uptr) : 0n;
  expect(await refusal(b, IOMMU_GET_HW_INFO, { ...fields, dev_id, data_uptr })).toEqual(refused(errno));
});

it.each([
  ['a type that the driver lacks', { flags: 1, in_data_type: 1 }, 'EOPNOTSUPP'],
  ['its own type', { flags: 1, in_data_type: MOCK_INFO }, undefined],
  ['any type', { flags: 1, in_data_type: 0 }, undefined],
  ['a type that nobody asks for', { flags: 0, in_data_type: 1 }, undefined],
  ['another flag', { flags: 2 }, 'EOPNOTSUPP'],
  ['a type before the buffer', { flags: 1, in_data_type: 1, data_len: 8, data_uptr: 0x1000n }, 'EOPNOTSUPP'],
] as const)('on 7.2 the type can be named: %s', async (_why, fields, errno) => {
  const { b, device } = await setup('7.2');
  expect(await refusal(b, IOMMU_GET_HW_INFO, { ...fields, dev_id: device })).toEqual({ errno, changed: [] });
});

it.each([
  ['a short buffer gets the beginning', 4, [0, 0, 0, 0]],
  ['a long one is filled up with zeros', 10, [0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0, 0]],
] as const)('%s (a030)', async (_why, data_len, bytes) => {
  const { b, device } = await setup();
  const data_uptr = new Uint8Array(data_len).fill(0x5a);
  const { out } = await b.ioctl(IOMMU_GET_HW_INFO, { dev_id: device, data_len, data_uptr });
  expect([...data_uptr]).toEqual(bytes);
  expect([out.data_len, out.out_data_type, out.out_capabilities]).toEqual([8, MOCK_INFO, 1n]);
});

it('a struct that cannot be written is EFAULT', async () => {
  const { b, device } = await setup();
  expect(await readOnly(b, IOMMU_GET_HW_INFO, { dev_id: device })).toEqual(refused('EFAULT'));
});

it('a function behind VT-d has a type of its own', async () => {
  const b = await bench();
  const { id } = await b.bind(ALONE);
  const { errno, out } = await b.ioctl(IOMMU_GET_HW_INFO, { dev_id: id, data_len: 24, data_uptr: new Uint8Array(24) });
  expect([errno, out.out_data_type, out.data_len]).toEqual([undefined, 1, 24]);
});
