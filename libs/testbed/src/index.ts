export { type EmbeddedLab, startEmbedded, type StartOptions } from './embedded.js';
export { type FaultOperator, faultOperator, parseLabUrl } from './fault-operator.js';
export { type NatsOptions, startNats } from './nats.js';
export { exportSysfs, SysfsExport, sysfsTarget, type SysfsUpdate } from './sysfs-export.js';
export { type NatsLab, type NatsLabOptions, startNatsLab } from './nats-lab.js';
export { type ReplayedActor, type ReplayOptions, replayRun, type ReplayReport } from './replay.js';
export { diffRuns, type Parting, type RunDifference, type Step, stepsOf } from './replay-steps.js';
export { type Manifest, readManifest, type RunMeta, type SealedActor, writeManifest } from './run-folder.js';
