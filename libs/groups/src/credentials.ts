/** What a client's process may do. Rule: its pages service says so at the time of the call; nobody keeps a copy. */
import { call, CAP_SYS_RAWIO, PAGES, pagesApi, type Address, type Op } from '@vfiolab/core';

/** A device without an IOMMU reaches all memory (semantics A4). */
export function* mayGoWithoutIommu(client: Address): Op<boolean> {
  const caps = yield* call(PAGES, pagesApi.capabilities, { client });
  return (caps & CAP_SYS_RAWIO) !== 0;
}
