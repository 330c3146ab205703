/** All policies by name. */
import type { Policy } from '../policy.js';
import { bestFit } from './best-fit.js';
import { dotProd } from './dot-prod.js';
import { fgd } from './fgd.js';
import { gpuClustering } from './gpu-clustering.js';
import { gpuPacking } from './gpu-packing.js';
import { keepGroups } from './keep-groups.js';
import { keepNuma } from './keep-numa.js';
import { keepSwitches } from './keep-switches.js';
import { random } from './random.js';

export const policies: readonly Policy[] = [
  random,
  dotProd,
  gpuClustering,
  gpuPacking,
  bestFit,
  fgd,
  keepGroups,
  keepNuma,
  keepSwitches,
];
