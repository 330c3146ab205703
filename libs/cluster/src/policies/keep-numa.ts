/** Ours: keeps NUMA nodes whole, so that several devices of one node stay to be had; strands nothing if it can. */
import { tidy } from '../choosers.js';
import type { Policy } from '../policy.js';
import { keepWhole } from '../wholeness.js';

export const keepNuma: Policy = {
  name: 'numa',
  about: 'ours: keeps NUMA nodes whole',
  sight: 'topology',
  chooser: tidy,
  scorer: keepWhole([
    { domain: 'group', power: 1 },
    { domain: 'numa', power: 2 },
  ]),
};
