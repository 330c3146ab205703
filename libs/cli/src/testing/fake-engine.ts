/**
 * An engine for tests of the commands: it notes what it is asked and answers from a script.
 *
 * Rule: what a test does not script must not be asked for.
 */
import type { Engine, ReplayReport } from '../engine.js';

export interface FakeEngine extends Engine {
  readonly asked: string[];
}

export function fakeEngine(script: Partial<Engine> = {}): FakeEngine {
  const asked: string[] = [];
  const answer = <K extends keyof Engine>(name: K): Engine[K] =>
    ((...args: unknown[]) => {
      asked.push(name);
      const scripted = script[name] as ((...args: unknown[]) => unknown) | undefined;
      if (!scripted) throw new Error(`the test has no answer to ${name}`);
      return scripted(...args);
    }) as unknown as Engine[K];
  return {
    asked,
    startEmbedded: answer('startEmbedded'),
    startNats: answer('startNats'),
    startNatsLab: answer('startNatsLab'),
    faultOperator: answer('faultOperator'),
    keepLab: answer('keepLab'),
    applyPlan: answer('applyPlan'),
    labStatus: answer('labStatus'),
    endLab: answer('endLab'),
    writeManifest: answer('writeManifest'),
    sysfsTarget: answer('sysfsTarget'),
    exportSysfs: answer('exportSysfs'),
    replayRun: answer('replayRun'),
    stepsOf: answer('stepsOf'),
    diffRuns: answer('diffRuns'),
    simulate: answer('simulate'),
    readCosts: answer('readCosts'),
    sweep: answer('sweep'),
    hunt: answer('hunt'),
    huntMany: answer('huntMany'),
  };
}

/** A replay of one service, good or bad. */
export const replayReport = (change: Partial<ReplayReport> = {}): ReplayReport => ({
  title: 'test',
  last: 100,
  inputs: 9,
  until: 100,
  broken: [],
  actors: [
    {
      address: 'pages',
      seq: 9,
      clock: 100,
      journalHash: 'aa',
      stateHash: 'bb',
      expectedStateHash: 'bb',
      matches: true,
      lines: ['host: 1 frame'],
    },
  ],
  ...change,
});
