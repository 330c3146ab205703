/** GpuClustering: pods that ask for as many GPUs go together; next best is an empty host. */
import { tightest } from '../choosers.js';
import type { Policy } from '../policy.js';
import type { RequestClass } from '../request.js';
import { MILLI } from '../shape.js';
import { HIGHEST, MAX_GPU } from './literature.js';

const QUARTER = HIGHEST / 4;

/** Shares of one GPU are a kind; else the number of GPUs is. 0: none. */
const kindOf = ({ gpus, gpuMilli }: RequestClass): number => (gpus === 1 && gpuMilli < MILLI ? 1 : gpus && gpus + 1);

export const gpuClustering: Policy = {
  name: 'gpuclustering',
  about: 'pods that ask for as many GPUs together',
  sight: 'counts',
  chooser: tightest,
  scorer: ({ occupancy, occupancies, count }, _fits, { classes }) => {
    const kinds = Math.max(...classes.map(kindOf)) + 1;
    /** Pods of each kind on each host, and how many kinds a host has. */
    const pods = new Uint16Array(count * kinds);
    const different = new Uint8Array(count);
    return {
      score(host, request) {
        const kind = kindOf(request);
        if (kind === 0) return 0;
        const used = Math.max(0, MAX_GPU - occupancies.gpuLeft[occupancy[host]!]!);
        const within = Math.trunc((QUARTER * used) / MAX_GPU);
        if (pods[host * kinds + kind]! > 0) return within + (different[host] === 1 ? 3 : 2) * QUARTER;
        return within + (different[host] === 0 ? QUARTER : 0);
      },
      moved(host, request, by) {
        const kind = kindOf(request);
        if (kind === 0) return;
        const at = host * kinds + kind;
        if (pods[at] === (by === 1 ? 0 : 1)) different[host]! += by;
        pods[at]! += by;
      },
    };
  },
};
