export { drawArrivals } from './demand.js';
export { importNodes, type HostList, type MachineShapes } from './import-nodes.js';
export { machineShape } from './machine-shape.js';
export { exportSlices, importSlices, isYaml } from './resource-slices.js';
export { type Arrivals, importOrder, importRank } from './import-order.js';
export { importPods, type PodList } from './import-pods.js';
export { InputError } from './input-error.js';
export { LIMITS as CLUSTER_LIMITS } from './limits.js';
export { policies } from './policies/index.js';
export type { Policy } from './policy.js';
export { Random } from './random.js';
export {
  comparison,
  devicesCsv,
  placementsCsv,
  type PolicyResult,
  timedComparison,
  type TimedResult,
  timelineCsv,
} from './report.js';
export { type Decision, gpuCapacity, run, Run, type RunInput, type Tally } from './run.js';
export { GPU, MILLI, Names, newKinds, type Shape, type Slot } from './shape.js';
export { type ClusterEvent, EVENTS, importEvents } from './import-events.js';
export { type HostCosts, hostCosts, MEMORY_COSTS, type Processor } from './start-costs.js';
export { Timeline, type TimelineInput } from './timeline.js';
export type { Distribution, Sample, TimelineTally } from './timeline-statistics.js';
