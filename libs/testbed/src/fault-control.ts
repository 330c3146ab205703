/** A fault plan of a lab, by requests that change it. */
import type { RuleStatus } from '@vfiolab/core';
import type { FaultControl } from '@vfiolab/scenario';
import type { PlanChange } from '@vfiolab/shell';

export const faultControl = (change: (what: PlanChange) => Promise<RuleStatus[]>): FaultControl => ({
  add: async (rules) => void (await change({ add: rules })),
  clear: async (names = []) => void (await change({ clear: names.length === 0 ? 'all' : names })),
  release: async (names = []) => void (await change({ release: names.length === 0 ? 'all' : names })),
  status: () => change({}),
});
