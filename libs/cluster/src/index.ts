export { drawArrivals } from './demand.js';
export { importEvents } from './import-events.js';
export { importNodes, type HostList, type MachineShapes } from './import-nodes.js';
export { type Arrivals, importOrder, importRank } from './import-order.js';
export { importPods, type PodList } from './import-pods.js';
export { InputError } from './input-error.js';
export { LIMITS as CLUSTER_LIMITS } from './limits.js';
export { machineShape } from './machine-shape.js';
export { importNvmlProfile, isNvmlProfile } from './nvml-profile.js';
export { policies } from './policies/index.js';
export type { Policy } from './policy.js';
export { Random } from './random.js';
export {
  comparison,
  comparisonRows,
  devicesCsv,
  inLines,
  placementsCsv,
  type PolicyResult,
  timedComparison,
  timedComparisonRows,
  type TimedResult,
  timelineCsv,
} from './report.js';
export { exportSlices, importSlices, isYaml } from './resource-slices.js';
export { type Decision, gpuCapacity, run, Run, type RunInput } from './run.js';
export { type Names, newKinds, type Shape } from './shape.js';
export { hostCosts, MEMORY_COSTS, type Processor } from './start-costs.js';
export { Timeline, type TimelineInput } from './timeline.js';
export type { Sample } from './timeline-statistics.js';
export { sameGroups, shapeMachine } from './shape-machine.js';
export { type PlacedPod, type SampledHost, samplePlacements } from './sample.js';
export { htmlReport, type ReportedRun } from './html/report.js';
export { knownFailures } from './known-failures.js';
export { allocationCurve, fragmentation } from './report-data.js';
export { kubePod } from './kube-pod.js';
export { LiveCluster } from './live-cluster.js';
export { MAX_SCORE } from './policy.js';
export { prometheus } from './prometheus.js';
