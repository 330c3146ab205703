export { InputError } from './input-error.js';
export { conformance, type ConformanceOptions } from './conformance.js';
export { TraceError, readTrace, readTraces } from './read-trace.js';
export {
  type Cause,
  type ConformanceReport,
  type DeviationCount,
  inWords,
  type PlainMismatch,
  Tally,
} from './report.js';
export { type Mismatch, runTrace, type TraceReport } from './run-trace.js';
export type { Step, Trace, TraceHeader } from './trace.js';
export { bootFor, makeHost, runOnFreshHost } from './trace-host.js';
