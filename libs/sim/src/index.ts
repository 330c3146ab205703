export { type Costs, DEFAULT_COSTS, readCosts } from './costs.js';
export { Dice } from './dice.js';
export { type Hunt, hunt, type Hunted } from './hunt/hunts.js';
export { CrashSweep, differences } from './crash-sweep.js';
export { CALM, drawOptions, type SimOptions } from './options.js';
export { simulate, type SimResult, type SimulateOptions, Stuck } from './simulate.js';
export { type WorkFigures } from './work.js';
export { TestHost, type TestHostOptions } from './test-host.js';
export { swarm, type SwarmOptions, type SwarmRun } from './swarm/swarm.js';
