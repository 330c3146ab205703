/** Which pods come, and in which order, where no file says it. */
import type { Arrivals } from './import-order.js';
import type { PodList } from './import-pods.js';
import { InputError } from './input-error.js';
import { LIMITS } from './limits.js';
import type { Random } from './random.js';

/**
 * All pods in random order. With `demand`, the GPUs asked for come to that share of `capacity` (both in thousandths): pods
 * drawn at random are left out, or come again at the end as NAME-tuned-N, as in the paper's experiments.
 */
export function drawArrivals(list: PodList, random: Random, demand?: { share: number; capacity: number }): Arrivals {
  const count = list.names.length;
  const milliOf = (pod: number): number => list.requests.classes[list.classOf[pod]!]!.gpuMilli;
  const gpusOf = (pod: number): number => list.requests.classes[list.classOf[pod]!]!.gpus;
  const pods: number[] = random.shuffle(Array.from({ length: count }, (_, i) => i));
  if (demand) {
    const target = demand.share * demand.capacity;
    let asked = pods.reduce((sum, pod) => sum + gpusOf(pod) * milliOf(pod), 0);
    if (asked === 0 || demand.capacity === 0)
      throw new InputError('a demand needs hosts and pods with GPUs', { file: '--demand' });
    while (asked > target && pods.length > 0) {
      const [left] = pods.splice(random.below(pods.length), 1);
      asked -= gpusOf(left!) * milliOf(left!);
    }
    while (pods.length >= count) {
      const copy = random.below(count);
      if (asked + milliOf(copy) > target) break;
      asked += gpusOf(copy) * milliOf(copy);
      if (pods.push(copy) > LIMITS.pods)
        throw new InputError(`comes to more than ${LIMITS.pods} pods`, { file: '--demand' });
    }
  }
  const nameOf = (arrival: number): string => {
    const name = list.names[pods[arrival]!]!;
    return arrival < count ? name : `${name}-tuned-${arrival - count}`;
  };
  return { pods: Int32Array.from(pods), nameOf };
}
