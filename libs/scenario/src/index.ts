/** The public list of @vfiolab/scenario. */
export * from './environment.js';
export { type Problem, ScenarioError } from './errors.js';
export { PlanRun, readFaults } from './fault-plan.js';
export { findMachine, iommuOf, machineNames, readMachine } from './machine-file.js';
export { OPERATOR } from './operator.js';
export { headline, readScenario, readScenarioFile } from './read.js';
export { CONFORMANCE_FOLDER, type Machine, machineNamed } from './recorded-machine.js';
export {
  type HostMade,
  type Observer,
  runScenario,
  type ScenarioFailure,
  type ScenarioResult,
  type TranscriptEntry,
} from './run.js';
export type { ActionArgs, ActionName, Expect, HostSpec, Num, ProcessSpec, Scenario, Step } from './scenario.js';
export { suggestion } from './words.js';
export { type MadeHost, makeHost } from './make-host.js';
export { type LabHost, type LabInstance, type LabPlan, readLab, readLabFile } from './lab-file.js';
