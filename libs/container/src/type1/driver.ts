/** Makes type1 backends. */
import { fail, ok, VFIO_UNMAP_ALL } from '@vfiolab/uapi';
import type { BackendDriver } from '../backend.js';
import { decodeType1 } from './state.js';
import { isType1Extension, TYPE1, Type1 } from './type1.js';

export const type1Driver: BackendDriver = {
  name: TYPE1,
  noiommu: false,
  offers: isType1Extension,
  /** A feature that is no type has no backend behind it. EINVAL. */
  *open(type, host) {
    return type === VFIO_UNMAP_ALL ? fail('EINVAL') : ok(new Type1(host, type, host.get('dma_entry_limit')));
  },
  decode: (r, host) => decodeType1(r, new Type1(host, r.u32(), r.u32())),
};
