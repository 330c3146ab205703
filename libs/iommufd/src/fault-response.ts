/** Answers of a user reach the devices that wait for them. */
import { call, IOMMU, iommuApi, type Op } from '@vfiolab/core';
import type { AnsweredGroup } from './fault-queue.js';

const SUCCESS = 0;

/** Ends when every device has gone on. What a mock device asked for, nothing waits for. */
export function* tellDevices(answered: readonly AnsweredGroup[]): Op<void> {
  for (const { group, code } of answered) {
    const { bdf } = group.device;
    if (group.request > 0)
      yield* call(IOMMU, iommuApi.pageResponse, { bdf, request: group.request, success: code === SUCCESS });
  }
}
