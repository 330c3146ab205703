/**
 * Reading scenario files.
 *
 * Rule: all problems of a file are found before anything runs, and all are reported at once: first those of YAML, then
 * those of the schema, then names that nobody knows.
 */
import { readFileSync } from 'node:fs';
import {
  CAP_IPC_LOCK,
  CAP_SYS_RAWIO,
  CAP_SYS_RESOURCE,
  type KvmHolds,
  type RawRules,
  type Teaching,
  type VfioContainer,
} from '@vfiolab/core';
import { ROOT } from '@vfiolab/client';
import { addressOf } from './actions/inspection.js';
import { isActionName } from './actions/index.js';
import { type RawStep, StepChecker } from './check-step.js';
import type { CrashPlan } from './environment.js';
import { planProblems } from './fault-plan.js';
import { OPERATOR } from './operator.js';
import { type Problem, ScenarioError } from './errors.js';
import { findMachineFor, machineNames } from './machine-file.js';
import type { HostSpec, Num, ProcessSpec, Scenario, Step } from './scenario.js';
import { schemaProblems } from './schema.js';
import { type Path, Source } from './source.js';
import { evaluate, milliseconds } from './values.js';
import { size, suggestion } from './words.js';

const DEFAULT_PAGE = '4KiB';
const DEFAULT_MEMORY = '32GiB';
const DEFAULT_PROFILE = '6.12';
const DEFAULT_DOWN = '200ms';
const PAGE = 4096;
const CAPS: Readonly<Record<string, number>> = { CAP_IPC_LOCK, CAP_SYS_RAWIO, CAP_SYS_RESOURCE };

interface RawProcess {
  readonly uid?: number;
  readonly caps?: 'all' | 'none' | readonly string[];
  readonly memlock?: Num;
}

/** A host as a file describes it. */
export interface RawHost {
  readonly machine: string;
  readonly memory?: Num;
  readonly profile?: string;
  readonly iommu?: string;
  readonly allowUnsafeInterrupts?: boolean;
  readonly vfioContainer?: VfioContainer;
  readonly kvm?: KvmHolds;
  readonly memoryCards?: boolean;
  readonly teaching?: Teaching;
  readonly pageSize?: Num;
}

interface RawScenario {
  readonly title: string;
  readonly about?: string;
  readonly host: RawHost;
  readonly processes?: Readonly<Record<string, RawProcess>>;
  readonly faults?: RawRules;
  readonly steps: readonly Readonly<Record<string, unknown>>[];
}

/** Reads a scenario from its text. `file` is its name in messages, and where relative paths start. Throws ScenarioError. */
export function readScenario(text: string, file: string): Scenario {
  const source = Source.parse(text, file);
  const broken = schemaProblems(source);
  if (broken.length > 0) throw new ScenarioError(broken);
  const raw = source.value as RawScenario;
  const processes = processesOf(raw.processes ?? { main: {} });
  const { faults = {} } = raw;
  const problems = [
    ...hostProblems(raw.host, source),
    ...processProblems(raw, source),
    ...planProblems(faults, source, ['faults']),
  ];
  const steps = raw.steps.map(splitStep);
  const checker = new StepChecker(
    source,
    processes.map(({ name }) => name),
    Object.keys(faults),
  );
  steps.forEach((step, i) => checker.check(step, ['steps', i]));
  problems.push(...checker.problems);
  if (problems.length > 0) throw new ScenarioError(problems.sort((a, b) => a.line - b.line || a.column - b.column));
  return {
    file,
    title: raw.title,
    about: raw.about ?? '',
    host: hostOf(raw.host, file),
    processes,
    faults,
    steps: steps.map((step, i) => finishStep(step, i + 1, source.line(['steps', i]), processes[0]!.name)),
  };
}

/** Throws ScenarioError, also for a file that cannot be read. */
export function readScenarioFile(file: string): Scenario {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const what = `the file cannot be read: ${(error as Error).message}`;
    throw new ScenarioError([{ file, line: 1, column: 1, path: '', what, hint: 'Give the path of a scenario file.' }]);
  }
  return readScenario(text, file);
}

/** Numbers outside of steps may not name variables. */
function isPlain(raw: Num | undefined): boolean {
  return typeof raw !== 'string' || !raw.startsWith('$');
}

const NO_VARIABLES = new Map<string, bigint>();
const plain = (raw: Num): number => Number(evaluate(raw, NO_VARIABLES));

/** `at`: where in the file the host is described. */
export function hostProblems(host: RawHost, source: Source, at: Path = ['host']): Problem[] {
  const problems: Problem[] = [];
  if (findMachineFor(source.file, host.machine) === undefined) {
    const hint = `${suggestion(host.machine, machineNames())} Or give the path of a description, relative to this file.`;
    problems.push(source.problem([...at, 'machine'], `there is no machine ${JSON.stringify(host.machine)}`, hint));
  }
  const { memory = DEFAULT_MEMORY } = host;
  if (!isPlain(memory) || plain(memory) <= 0 || plain(memory) % PAGE !== 0)
    problems.push(
      source.problem(
        [...at, 'memory'],
        `${memory} is no amount of memory`,
        'Give a multiple of 4KiB, for example 32GiB.',
      ),
    );
  return problems;
}

function processProblems({ processes = {} }: RawScenario, source: Source): Problem[] {
  const problems: Problem[] = [];
  for (const [name, { memlock }] of Object.entries(processes)) {
    if (name.startsWith(OPERATOR))
      problems.push(
        source.problem(
          ['processes', name],
          `a process cannot be called ${name}`,
          'That name makes the host; take another.',
          true,
        ),
      );
    if (!isPlain(memlock) || (memlock !== undefined && plain(memlock) < 0))
      problems.push(
        source.problem(['processes', name, 'memlock'], `${memlock} is no limit`, 'Give bytes, for example 8MiB.'),
      );
  }
  return problems;
}

export function hostOf(
  {
    machine,
    memory = DEFAULT_MEMORY,
    profile,
    iommu,
    allowUnsafeInterrupts,
    vfioContainer = 'vfio',
    kvm,
    memoryCards,
    teaching,
    pageSize = DEFAULT_PAGE,
  }: RawHost,
  file: string,
): HostSpec {
  return {
    machine,
    machineFile: findMachineFor(file, machine)!,
    memory: plain(memory),
    profile: profile ?? DEFAULT_PROFILE,
    iommu,
    allowUnsafeInterrupts: allowUnsafeInterrupts ?? false,
    vfioContainer,
    kvm,
    memoryCards,
    teaching,
    pageShift: Math.log2(plain(pageSize)),
  };
}

function processesOf(raw: Readonly<Record<string, RawProcess>>): ProcessSpec[] {
  return Object.entries(raw).map(([name, { uid = 0, caps = uid === 0 ? 'all' : 'none', memlock }]) => ({
    name,
    uid,
    caps: caps === 'all' ? ROOT.caps : caps === 'none' ? 0 : caps.reduce((sum, cap) => sum | CAPS[cap]!, 0),
    memlock: isPlain(memlock) && memlock !== undefined ? plain(memlock) : ROOT.memlock,
  }));
}

/** The schema made sure that there is one action. */
function splitStep(raw: Readonly<Record<string, unknown>>): RawStep {
  const action = Object.keys(raw).find(isActionName)!;
  return { ...(raw as Omit<RawStep, 'action' | 'args'>), action, args: raw[action] };
}

function finishStep(raw: RawStep, number: number, line: number, first: string): Step {
  return {
    number,
    line,
    action: raw.action,
    args: raw.args as Step['args'],
    process: raw.process ?? first,
    say: raw.say,
    means: raw.means,
    expect: raw.expect ?? {},
    as: raw.as,
    bind: raw.bind ?? {},
    crash: raw.crash && crashOf(raw.crash),
  };
}

const crashOf = ({
  service,
  method,
  nth = 1,
  at = 'request',
  down = DEFAULT_DOWN,
}: NonNullable<RawStep['crash']>): CrashPlan => ({
  service: addressOf(service),
  method,
  nth,
  at,
  downMs: milliseconds(down),
});

/** What a scenario is about, in one line. */
export const headline = ({ title, host, processes, steps }: Scenario): string =>
  `${title}: ${host.machine} with ${size(BigInt(host.memory))}, ${processes.length} ${processes.length === 1 ? 'process' : 'processes'}, ${steps.length} steps`;
