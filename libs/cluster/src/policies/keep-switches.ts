/** Ours: keeps PCIe switches whole, and NUMA nodes where switches do not decide. */
import { tidy } from '../choosers.js';
import type { Policy } from '../policy.js';
import { keepWhole } from '../wholeness.js';

export const keepSwitches: Policy = {
  name: 'switches',
  about: 'ours: keeps PCIe switches whole, then NUMA nodes',
  sight: 'topology',
  chooser: tidy,
  scorer: keepWhole([
    { domain: 'group', power: 1 },
    { domain: 'switch', power: 2 },
    { domain: 'numa', power: 2 },
  ]),
};
