/** GpuPacking: first GPUs that are shared already, then free GPUs of hosts in use, and only then an empty host. */
import { tightest } from '../choosers.js';
import { UNITS } from '../occupancies.js';
import type { Policy } from '../policy.js';
import { GPU, MILLI } from '../shape.js';
import { HIGHEST } from './literature.js';

const HALF = HIGHEST / 2;
const THIRD = Math.trunc(HIGHEST / 3);

export const gpuPacking: Policy = {
  name: 'gpupacking',
  about: 'shared GPUs first, then used hosts, then empty ones',
  sight: 'counts',
  chooser: tightest,
  scorer: ({ shapes, shapeOf, occupancy, occupancies }, fits) => {
    const gpusOf = shapes.map(({ slots }) => slots.filter(({ kind }) => kind === GPU).length);
    return {
      score(host, request, row) {
        if (request.gpus === 0) return 0;
        const state = occupancy[host]!;
        const free = occupancies.gpusFree[state]!;
        if (free === gpusOf[shapeOf[host]!]) return Math.max(THIRD - free, free);
        let whole = 0;
        let left = 0;
        // GPUs are the first picks of a row.
        const first = fits.firstPickOf(row);
        for (let i = first; i < first + request.gpus; i++) {
          const units = occupancies.cells[state * occupancies.stride + fits.pickSlot[i]!]! & UNITS;
          if (units === MILLI) whole++;
          left += Math.trunc((units * 100) / MILLI);
        }
        if (whole > 0) return Math.max(HALF - whole, THIRD);
        return Math.max(HIGHEST - Math.trunc(left / 10), HALF);
      },
    };
  },
};
