/** Ours: takes the devices that leave the fewest others stranded in their IOMMU groups. */
import { tidy } from '../choosers.js';
import type { Policy } from '../policy.js';
import { keepWhole } from '../wholeness.js';

export const keepGroups: Policy = {
  name: 'groups',
  about: 'ours: fewest devices stranded in IOMMU groups',
  sight: 'topology',
  chooser: tidy,
  scorer: keepWhole([{ domain: 'group', power: 1 }]),
};
