/** BestFit: the host that has least left afterwards, processors and GPUs weighed alike. */
import { tightest } from '../choosers.js';
import type { Policy } from '../policy.js';
import { HIGHEST, MAX_CPU, MAX_GPU } from './literature.js';

export const bestFit: Policy = {
  name: 'bestfit',
  about: 'least left afterwards, CPU and GPU weighed alike',
  sight: 'counts',
  chooser: tightest,
  scorer: ({ cpuLeft, occupancy, occupancies }) => ({
    score(host, { cpuMilli, gpus, gpuMilli }) {
      const cpu = ((cpuLeft[host]! - cpuMilli) / MAX_CPU) * 0.5;
      const gpu = ((occupancies.gpuLeft[occupancy[host]!]! - gpus * gpuMilli) / MAX_GPU) * 0.5;
      return Math.max(0, Math.trunc((1 - (cpu + gpu)) * HIGHEST));
    },
  }),
};
