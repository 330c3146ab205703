import { IOMMU_VFIO_IOAS, VFIO_IOMMU_GET_INFO } from '@vfiolab/uapi';
import { MockBench } from '../testing/mock-bench.js';
import { changes, readOnly, refusal, refused } from '../testing/refusal.js';

const SET = 1;
const AT = 2 ** 47;

async function setup() {
  const b = await MockBench.boot();
  const ioas_id = await b.ioas();
  await b.errno(IOMMU_VFIO_IOAS, { ioas_id, op: SET });
  await b.mock(ioas_id);
  return b;
}

it('argsz below the struct is EINVAL, with an IOAS and without', async () => {
  for (const b of [await setup(), await MockBench.boot()])
    expect(await refusal(b, VFIO_IOMMU_GET_INFO, { argsz: 15 })).toEqual(refused('EINVAL'));
});

it('without an IOAS it is ENODEV', async () => {
  expect(await refusal(await MockBench.boot(), VFIO_IOMMU_GET_INFO)).toEqual(refused('ENODEV'));
});

it('a struct, or a chain behind it, that cannot be written is EFAULT', async () => {
  const b = await setup();
  expect(await readOnly(b, VFIO_IOMMU_GET_INFO)).toEqual(refused('EFAULT'));
  // argsz promises more room than there is.
  const bytes = new Uint8Array(24);
  new DataView(bytes.buffer).setUint32(0, 72, true);
  const short = () => b.run(b.p.ioctlAt(b.fd, VFIO_IOMMU_GET_INFO.nr, AT, [{ va: AT, writable: true, bytes }]));
  expect(await changes(b.host, short)).toEqual(refused('EFAULT'));
});
