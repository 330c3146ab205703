/**
 * Fault plans of scenarios: reading them, and what they do that is no business of the bus.
 *
 * Words: a *breaking* is a rule that causes a fault of a device; the lab is asked for it as an operator asks. All other rules are the
 * environment's.
 * Rule: a run that has ended has no plan any more: whatever waits goes on, whatever is full has room, and only then is it judged.
 */
import {
  type BreakRule,
  deviceFaultOf,
  LAB,
  labApi,
  mergeStatus,
  type RawRules,
  readRules,
  type RuleProblem,
  type RuleStatus,
  ruleWords,
} from '@vfiolab/core';
import type { Environment } from './environment.js';
import { type Problem, ScenarioError } from './errors.js';
import { OPERATOR } from './operator.js';
import { schemaProblems } from './schema.js';
import { type Path, Source } from './source.js';

/** What is wrong with rules at a place of the file. `known`: rules that other places have. */
export function planProblems(raw: RawRules, source: Source, path: Path, known = 0): Problem[] {
  const at = ({ rule, key }: RuleProblem): Path =>
    [...path, ...[rule, key].filter((part) => part !== undefined && part !== '')] as Path;
  return readRules(raw, known).problems.map((each) =>
    source.problem(at(each), each.what, each.hint, each.key !== undefined),
  );
}

/** Rules from a text of their own, such as the command line has. Throws ScenarioError. */
export function readFaults(text: string, file: string): RawRules {
  const source = Source.parse(text, file);
  const broken = schemaProblems(source, 'rules');
  const problems = broken.length > 0 ? broken : planProblems(source.value as RawRules, source, []);
  if (problems.length > 0) throw new ScenarioError(problems);
  return source.value as RawRules;
}

/** The plan of one run. */
export class PlanRun {
  private readonly breakings = new Map<string, { readonly rule: BreakRule; seen: number; fired: number }>();
  /** Rules that were cleared, as they were then. */
  private past: RuleStatus[] = [];
  private refused: string | undefined;
  /** There was never a rule: the environment need not be asked. */
  private unused = true;

  /** Breakings whose time has not come. */
  private readonly pending = new Set<Promise<void>>();

  /** `operator`: the client that breaks devices. */
  constructor(
    private readonly environment: Environment,
    private readonly operator = OPERATOR,
  ) {}

  /** Begins rules. Throws an Error for people. */
  async add(raw: RawRules): Promise<void> {
    const { rules, problems } = readRules(raw);
    if (problems.length > 0) throw new Error(problems[0]!.what);
    if (rules.length === 0) return;
    await this.clear(Object.keys(raw));
    this.unused = false;
    const others = Object.fromEntries(Object.entries(raw).filter(([, rule]) => rule.break === undefined));
    if (Object.keys(others).length > 0) await this.environment.faults.add(others);
    for (const rule of rules) if (rule.verb === 'break') await this.plan(rule);
  }

  private async plan(rule: BreakRule): Promise<void> {
    this.breakings.set(rule.name, { rule, seen: 0, fired: 0 });
    if (rule.often.afterMs === 0) return this.break(rule.name);
    const { sleep } = this.environment.link(this.operator).ports;
    const broken = sleep(rule.often.afterMs).then(() => this.break(rule.name));
    this.pending.add(broken);
    void broken.then(() => this.pending.delete(broken));
  }

  private async break(name: string): Promise<void> {
    const breaking = this.breakings.get(name);
    if (!breaking || breaking.seen > 0) return;
    breaking.seen = 1;
    try {
      const { error } = await this.environment
        .link(this.operator)
        .call(LAB, labApi.fault, deviceFaultOf(breaking.rule.raw));
      if (error === '') breaking.fired = 1;
      else this.refuse(name, error);
    } catch (e) {
      this.refuse(name, (e as Error).message);
    }
  }

  private refuse(name: string, why: string): void {
    this.breakings.delete(name);
    this.refused ??= `${name}: ${why}`;
  }

  /** Resolves when every device is broken whose time was given. */
  async settled(): Promise<void> {
    await Promise.all(this.pending);
  }

  /** Why a device could not be broken as planned; undefined: it could. */
  get problem(): string | undefined {
    return this.refused;
  }

  async clear(names?: readonly string[]): Promise<void> {
    if (this.unused) return;
    const ends = (name: string): boolean => names === undefined || names.includes(name);
    // What they hold goes on now.
    const ended = (await this.now()).filter(({ name }) => ends(name)).map((each) => ({ ...each, held: 0 }));
    this.past = mergeStatus([this.past, ended]);
    for (const name of [...this.breakings.keys()]) if (ends(name)) this.breakings.delete(name);
    if (names === undefined || names.length > 0) await this.environment.faults.clear(names);
  }

  release(names: readonly string[]): Promise<void> {
    return this.environment.faults.release(names);
  }

  private async now(): Promise<RuleStatus[]> {
    return this.unused ? [] : [...(await this.environment.faults.status()), ...this.broken()];
  }

  /** Devices that it has broken, or will. */
  broken(): RuleStatus[] {
    return [...this.breakings.values()].map(({ rule, seen, fired }) => ({
      ...{ name: rule.name, words: ruleWords(rule), seen, fired, held: 0 },
    }));
  }

  /** Every rule that there is or was, and what it did. */
  async status(): Promise<RuleStatus[]> {
    return mergeStatus([this.past, await this.now()]);
  }
}
