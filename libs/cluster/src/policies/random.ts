/** Random: any host that fits, any device that fits. */
import { every } from '../choosers.js';
import type { Policy } from '../policy.js';

export const random: Policy = {
  name: 'random',
  about: 'any host that fits',
  sight: 'counts',
  chooser: every,
};
