/** Makes backends of DMA windows. */
import { fail, ok, VFIO_EEH, VFIO_SPAPR_TCE_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU } from '@vfiolab/uapi';
import type { BackendDriver } from '../backend.js';
import { Spapr, SPAPR } from './spapr.js';
import { decodeSpapr } from './state.js';

export const spaprDriver: BackendDriver = {
  name: SPAPR,
  noiommu: false,
  offers: (extension, { iommu: { tce } }) =>
    tce !== undefined &&
    (extension === VFIO_SPAPR_TCE_IOMMU ||
      extension === VFIO_SPAPR_TCE_v2_IOMMU ||
      (extension === VFIO_EEH && tce.eeh)),
  /** A feature that is no type has no backend behind it. EINVAL (SURPRISES 68). */
  *open(type, host) {
    if (type === VFIO_EEH) return fail('EINVAL');
    return ok(new Spapr(host, host.iommu.tce!, type === VFIO_SPAPR_TCE_v2_IOMMU));
  },
  decode: (r, host) => decodeSpapr(r, new Spapr(host, host.iommu.tce!, r.bool())),
};
