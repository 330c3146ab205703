/**
 * Running a scenario: the host is made, the processes start, and the steps follow one after the other.
 *
 * Words: the *transcript* has an entry for every step that was run: the call in words, the answer, and whether it was the
 * expected one.
 * Rule: the next step begins when the one before has been answered; the first unexpected answer ends the run.
 */
import { Process } from '@vfiolab/client';
import type { RuleStatus } from '@vfiolab/core';
import { Call, type Answer, type Facts, FileNames } from './actions/action.js';
import { actionOf } from './actions/index.js';
import { awaitCrash } from './crash.js';
import type { Environment } from './environment.js';
import { PlanRun } from './fault-plan.js';
import { judge, type Mismatch } from './judge.js';
import { makeHost } from './make-host.js';
import { iommuOf, readMachine } from './machine-file.js';
import { resolvePath } from './paths.js';
import { OPERATOR } from './operator.js';
import type { ActionArgs, ActionName, ProcessSpec, Scenario, Step } from './scenario.js';

export interface TranscriptEntry {
  readonly step: number;
  readonly line: number;
  readonly action: ActionName;
  readonly process: string;
  readonly say: string | undefined;
  readonly call: string;
  readonly answer: string;
  readonly means: string | undefined;
  readonly ok: boolean;
}

export interface ScenarioFailure extends Mismatch {
  /** 0: the host could not be made. */
  readonly step: number;
  readonly line: number;
  readonly call: string;
  /** All of it for people, with the file. */
  readonly message: string;
}

export interface ScenarioResult {
  readonly ok: boolean;
  readonly transcript: readonly TranscriptEntry[];
  readonly failure: ScenarioFailure | undefined;
  /** What the fault plan did. */
  readonly faults: readonly RuleStatus[];
}

export interface HostMade {
  readonly machine: string;
  readonly functions: number;
  readonly groups: number;
}

/** Who watches a run. Every method is optional; none may change anything. */
export interface Observer {
  hostMade?(host: HostMade): void;
  stepBegins?(step: Step, call: string): void;
  stepEnds?(entry: TranscriptEntry): void;
  /** The next step waits for this. */
  settled?(): Promise<void>;
}

export async function runScenario(
  scenario: Scenario,
  environment: Environment,
  observer: Observer = {},
): Promise<ScenarioResult> {
  const run = new Run(scenario, environment, observer);
  const failure = (await run.boot()) ?? (await run.steps()) ?? run.planFailure();
  return { ok: failure === undefined, transcript: run.transcript, failure, faults: await run.endPlan() };
}

class Run {
  readonly transcript: TranscriptEntry[] = [];
  private readonly processes = new Map<string, Process>();
  private readonly variables = new Map<string, bigint>();
  private readonly files = new FileNames();
  private readonly plan: PlanRun;

  constructor(
    private readonly scenario: Scenario,
    private readonly environment: Environment,
    private readonly observer: Observer,
  ) {
    this.plan = new PlanRun(environment);
  }

  async boot(): Promise<ScenarioFailure | undefined> {
    try {
      const { faults } = this.scenario;
      // The devices that it breaks come with the host.
      const breaks = Object.entries(faults).filter(([, rule]) => rule.break !== undefined);
      await this.plan.add(Object.fromEntries(Object.entries(faults).filter(([, rule]) => rule.break === undefined)));
      const wrong = (await this.makeHost()) || (await this.startProcesses());
      if (wrong === '') await this.plan.add(Object.fromEntries(breaks));
      return wrong === '' ? undefined : this.bootFailure(wrong);
    } catch (error) {
      return this.bootFailure(labProblem(error));
    }
  }

  /** What is wrong; empty when nothing is. */
  private async makeHost(): Promise<string> {
    const { host } = this.scenario;
    const text = readMachine(host.machineFile);
    const iommu = host.iommu ?? iommuOf(text);
    if (iommu === undefined) return 'the description of the machine does not say which IOMMU it has; give host.iommu';
    const { error, functions, groups } = await makeHost(this.environment.link(OPERATOR), { ...host, iommu }, text);
    if (error === '') this.observer.hostMade?.({ machine: host.machine, functions, groups });
    return error;
  }

  private async startProcesses(): Promise<string> {
    for (const spec of this.scenario.processes) {
      const started = await this.startProcess(spec);
      if (started !== '') return started;
    }
    return '';
  }

  private async startProcess({ name, uid, caps, memlock }: ProcessSpec): Promise<string> {
    const process = new Process(name, this.environment.link(name));
    this.processes.set(name, process);
    const started = await process.start({ uid, caps, memlock });
    return started.ok ? '' : `process ${name} could not be started: ${started.errno}`;
  }

  private bootFailure(got: string): ScenarioFailure {
    const message = `${this.scenario.file}: making the host of machine ${this.scenario.host.machine}: ${got}`;
    return { step: 0, line: 1, call: 'make the host', expected: 'a host', got, message };
  }

  /** A device that could not be broken as planned: nothing that followed says anything. */
  planFailure(): ScenarioFailure | undefined {
    const got = this.plan.problem;
    const message = `${this.scenario.file}: the fault plan: ${got}`;
    return got === undefined
      ? undefined
      : { step: 0, line: 1, call: 'the fault plan', expected: 'faults', got, message };
  }

  /** Trouble is over; answers what there was. */
  async endPlan(): Promise<RuleStatus[]> {
    await this.plan.clear();
    return this.plan.status();
  }

  async steps(): Promise<ScenarioFailure | undefined> {
    for (const step of this.scenario.steps) {
      const failure = await this.step(step);
      await this.observer.settled?.();
      if (failure) return failure;
    }
    return undefined;
  }

  private async step(step: Step): Promise<ScenarioFailure | undefined> {
    const process = this.processes.get(step.process)!;
    const call = new Call(this.environment, process, this.processes, this.variables, this.files, step, this.plan);
    let words = step.action as string;
    try {
      const args = await withResolvedPath(process, step.args);
      const action = actionOf(step.action);
      words = action.words(call, args);
      this.observer.stepBegins?.(step, words);
      const answer = await this.answered(step, () => action.run(call, args));
      const expect = { ...action.implied?.(args), ...step.expect };
      const mismatch = judge(step.expect.errno === undefined ? expect : step.expect, answer, this.variables);
      if (!mismatch) this.bind(step, answer);
      return this.ended(step, words, answer.words, mismatch);
    } catch (error) {
      return this.ended(step, words, 'no answer', { expected: 'an answer', got: labProblem(error) });
    }
  }

  /** The answer, once it has come and any crash that goes with it is over. */
  private async answered(step: Step, run: () => Promise<Answer>): Promise<Answer> {
    if (!step.crash) return run();
    const crashed = this.environment.crash(step.crash);
    // When the call itself has no answer, nobody waits for the crash any more.
    crashed.catch(() => undefined);
    const answer = await run();
    await awaitCrash(crashed, step.crash, this.environment.link(OPERATOR).ports);
    return answer;
  }

  private bind({ as, bind, expect }: Step, { value, facts }: Answer): void {
    if (expect.errno !== undefined) return;
    if (as !== undefined && value !== undefined) this.variables.set(as, value);
    for (const [field, name] of Object.entries(bind)) {
      const fact = (facts['out'] as Facts)[field];
      if (typeof fact === 'bigint') this.variables.set(name, fact);
    }
  }

  private ended(step: Step, call: string, answer: string, mismatch: Mismatch | undefined): ScenarioFailure | undefined {
    const { number, line, action, process, say, means } = step;
    const entry = { step: number, line, action, process, say, call, answer, means, ok: mismatch === undefined };
    this.transcript.push(entry);
    this.observer.stepEnds?.(entry);
    if (!mismatch) return undefined;
    const { expected, got } = mismatch;
    const message = `${this.scenario.file}:${line}: step ${number} (${process}): ${call}\n  expected: ${expected}\n  got:      ${got}`;
    return { step: number, line, call, expected, got, message };
  }
}

/** Why the lab itself did not answer. A mistake in our own code is no answer: it goes on its way. */
function labProblem(error: unknown): string {
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError) throw error;
  return error.message;
}

async function withResolvedPath(process: Process, args: Step['args']): Promise<ActionArgs[ActionName]> {
  if (typeof args !== 'object' || !('path' in args)) return args;
  return { ...args, path: await resolvePath(process, args.path) };
}
