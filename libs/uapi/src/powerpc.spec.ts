import { IOMMU_IOAS_MAP } from './iommufd.js';
import { fromPowerpc, toPowerpc } from './powerpc.js';
import { UDMABUF_CREATE } from './udmabuf.js';
import { VFIO_GET_API_VERSION } from './vfio-container.js';

it.each([
  ['without an argument of its own', VFIO_GET_API_VERSION.nr, 0x20003b64],
  ['that of another file', IOMMU_IOAS_MAP.nr, 0x20003b85],
  ['with a struct that is written', UDMABUF_CREATE.nr, 0x80187542],
  ['with one that is read', 0x80087601, 0x40087601],
  ['with both', 0xc0087601, 0xc0087601],
  ['of the largest size', 0x5fffffff, 0x9fffffff],
])('a number %s goes there and back', (_what, generic, powerpc) => {
  expect(toPowerpc(generic)).toBe(powerpc);
  expect(fromPowerpc(powerpc)).toBe(generic);
});

it.each([0x3b64, 0x60003b64, 0xa0003b64, 0xe0003b64])('no macro makes 0x%s', (nr) => {
  expect(fromPowerpc(nr)).toBeUndefined();
});
