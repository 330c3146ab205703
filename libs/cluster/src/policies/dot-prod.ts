/** DotProd: the smaller the product of what is left and what is asked, the better (after Tetris, SIGCOMM 2014). */
import { tightest } from '../choosers.js';
import type { Policy } from '../policy.js';
import { HIGHEST, MAX_CPU, MAX_GPU } from './literature.js';

export const dotProd: Policy = {
  name: 'dotprod',
  about: 'smallest product of what is left and what is asked',
  sight: 'counts',
  chooser: tightest,
  scorer: ({ cpuLeft, occupancy, occupancies }) => ({
    score(host, { cpuMilli, gpus, gpuMilli }) {
      const cpu = (cpuLeft[host]! / MAX_CPU) * (cpuMilli / MAX_CPU);
      const gpu = (occupancies.gpuLeft[occupancy[host]!]! / MAX_GPU) * ((gpus * gpuMilli) / MAX_GPU);
      return Math.max(0, Math.trunc(HIGHEST * (1 - (cpu + gpu) / 2)));
    },
  }),
};
