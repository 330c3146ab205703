/**
 * An environment for tests of the runner: every call to the host is noted and answered from a script.
 *
 * Rule: nothing here behaves like a host; whoever tests behaviour takes a simulated one.
 */
import type { Address, AnyMethod, RawRules } from '@vfiolab/core';
import type { Link } from '@vfiolab/client';
import { ok } from '@vfiolab/uapi';
import type { CrashPlan, Environment, FaultControl, RunEnd } from '../environment.js';

export interface NotedCall {
  readonly client: string;
  readonly to: Address;
  readonly method: string;
  readonly args: unknown;
}

/** The answer to one call: a value, or what makes it of the arguments. */
export type Script = Readonly<Record<string, unknown>>;

const DEFAULTS: Script = {
  'lab.loadMachine': ok(undefined),
  'lab.createHost': { error: '', functions: 96, groups: 73 },
  'lab.endClient': undefined,
  'pages.procStart': ok({ pid: 1 }),
  'groups.resolve': ok({ owner: 'iommufd' }),
};

type Figures = Readonly<Record<string, Readonly<Record<string, number>>>>;

export class FakeEnvironment implements Environment {
  readonly mode = 'embedded';
  readonly calls: NotedCall[] = [];
  readonly crashes: CrashPlan[] = [];
  readonly broken: Record<Address, string[]> = {};
  /** The rules that were given, and what was let go. */
  rules: RawRules = {};
  readonly released: string[] = [];
  readonly faults: FaultControl = {
    add: (rules) => Promise.resolve(void (this.rules = { ...this.rules, ...rules })),
    clear: (names = Object.keys(this.rules)) => {
      this.rules = Object.fromEntries(Object.entries(this.rules).filter(([name]) => !names.includes(name)));
      return Promise.resolve();
    },
    release: (names = []) => Promise.resolve(void this.released.push(...names)),
    status: () =>
      Promise.resolve(Object.keys(this.rules).map((name) => ({ name, words: name, seen: 1, fired: 1, held: 0 }))),
  };
  /** Milliseconds; sleeping moves it. */
  now = 0;
  /** Answers when the arranged crash is over; by default at once. */
  crashed: Promise<void> = Promise.resolve();
  private tokens = 0;

  constructor(
    private readonly script: Script = {},
    private readonly figures: Figures = {},
  ) {}

  link(name: string): Link {
    const sleep = (ms: number): Promise<void> =>
      new Promise((resolve) => setImmediate(() => ((this.now += ms), resolve())));
    const ports = { now: () => this.now, sleep, send: () => undefined };
    const call = (to: Address, method: AnyMethod, args: unknown): Promise<unknown> => {
      this.calls.push({ client: name, to, method: method.name, args });
      return Promise.resolve(this.answer(method.name, args));
    };
    return { ports, call, mayBeReadable: (_token: string, ms: number) => sleep(ms) } as unknown as Link;
  }

  private answer(method: string, args: unknown): unknown {
    if (method === 'sys.open' && !(method in this.script)) return ok({ token: String(++this.tokens), kind: 'file' });
    if (!(method in this.script) && !(method in DEFAULTS)) throw new Error(`the test has no answer to ${method}`);
    const answer = method in this.script ? this.script[method] : DEFAULTS[method];
    return typeof answer === 'function' ? (answer as (args: unknown) => unknown)(args) : answer;
  }

  /** Names of the methods that were called, those of the boot left out. */
  get methods(): string[] {
    return this.calls
      .map((each) => each.method)
      .filter((name) => !name.startsWith('lab.') && name !== 'pages.procStart');
  }

  crash(plan: CrashPlan): Promise<void> {
    this.crashes.push(plan);
    return this.crashed;
  }

  inspect(address: Address): ReturnType<Environment['inspect']> {
    const broken = this.broken[address] ?? [];
    return Promise.resolve({ lines: [], broken, figures: { ...this.figures[address] }, busy: 0 });
  }

  actors(): Promise<Address[]> {
    return Promise.resolve(['pages', 'iommu']);
  }

  end(): Promise<RunEnd> {
    return Promise.resolve({ actors: [], broken: [] });
  }
}

/** A scenario file with these steps, each given as lines of YAML. */
export const scenarioText = (...steps: string[]): string =>
  [
    'vfiolab: scenario/1',
    'title: test',
    'host: { machine: asus-fx505dt, memory: 1GiB }',
    'processes: { vmm: {}, guest: { uid: 7 } }',
    'steps:',
    ...steps.map((step) => `  - ${step}`),
  ].join('\n');
