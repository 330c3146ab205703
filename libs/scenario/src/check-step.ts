/**
 * What the schema cannot say about a step: names that must be known, and keys that go together.
 *
 * Words: a *problem* is reported at the field that is wrong, with the names that would be right.
 * Rule: a step that passes can be run; only the host's answers decide then.
 */
import * as api from '@vfiolab/core';
import { errnos, isErrno } from '@vfiolab/uapi';
import { checkFields, checkIoctl, type GivenFields, type Report, structOf } from './check-ioctl.js';
import type { Problem } from './errors.js';
import { planProblems } from './fault-plan.js';
import { addressOf } from './actions/inspection.js';
import { actionOf } from './actions/index.js';
import type { ActionArgs, ActionName, Expect } from './scenario.js';
import type { Path, Source } from './source.js';
import { constantNames, constants, parseReference } from './values.js';
import { quoted, suggestion } from './words.js';

/** A step as the file has it, its action found. */
export interface RawStep {
  readonly action: ActionName;
  readonly args: unknown;
  readonly process?: string;
  readonly say?: string;
  readonly means?: string;
  readonly as?: string;
  readonly bind?: Readonly<Record<string, string>>;
  readonly crash?: {
    readonly service: string;
    readonly method: string;
    readonly nth?: number;
    readonly at?: 'request' | 'answer';
    readonly down?: string;
  };
  readonly expect?: Expect;
}

const SERVICES = [api.GROUPS, api.PAGES, api.IOMMU, api.IOMMUFD, api.CONTAINER, api.LAB];
/** Messages by service and name, such as `pages.storeCreate`. */
const METHODS: readonly string[] = Object.values(api).flatMap((value) => methodNames(value));

function methodNames(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [];
  return Object.values(value).flatMap((each: unknown) => {
    const { id, name } = (typeof each === 'object' && each !== null ? each : {}) as { id?: unknown; name?: unknown };
    return typeof id === 'number' && typeof name === 'string' && name.includes('.') ? [name] : [];
  });
}

/** Text in these fields is data, never a number. */
const TEXTS: ReadonlySet<string> = new Set([
  'errno',
  'text',
  'data',
  'path',
  'hex',
  'entries',
  'reason',
  'name',
  'to',
  'device',
  'kind',
  'refused',
]);

export class StepChecker {
  readonly problems: Problem[] = [];
  private readonly defined = new Set<string>();
  /** Processes that have ended. */
  private readonly ended = new Set<string>();
  /** Rules of the fault plan that there are at this step. */
  private readonly rules: Set<string>;

  constructor(
    private readonly source: Source,
    private readonly processes: readonly string[],
    rules: readonly string[] = [],
  ) {
    this.rules = new Set(rules);
  }

  check(step: RawStep, path: Path): void {
    const { action, args, expect = {} } = step;
    const at = [...path, action];
    const process = step.process ?? this.processes[0]!;
    this.alive(process, step.process === undefined ? path : [...path, 'process']);
    this.known(step.process, this.processes, [...path, 'process'], 'process');
    if (action !== 'note' && action !== 'plan') this.numbers(args, at);
    this.numbers(expect, [...path, 'expect']);
    this.form(action, args, at);
    this.expectation(action, args, expect, [...path, 'expect']);
    this.companions(step, path);
    if (expect.errno === undefined) this.define(step);
    if (action === 'exit') this.ended.add(process);
  }

  private alive(process: string, path: Path): void {
    if (this.ended.has(process))
      this.add(
        path,
        `process ${process} has ended in an earlier step`,
        'Let another process do this, or move the step before the exit.',
      );
  }

  private readonly report: Report = (path, what, hint, key) => this.add(path, what, hint, key);

  private add(path: Path, what: string, hint: string, key = false): void {
    this.problems.push(this.source.problem(path, what, hint, key));
  }

  private known(name: string | undefined, names: readonly string[], path: Path, kind: string): void {
    if (name !== undefined && !names.includes(name))
      this.add(path, `there is no ${kind} ${quoted(name)}`, suggestion(name, names));
  }

  private define({ as, bind = {} }: RawStep): void {
    for (const name of [as, ...Object.values(bind)]) if (name !== undefined) this.defined.add(name);
  }

  /** Every variable was set before, and every constant exists. */
  private numbers(value: unknown, path: Path): void {
    if (typeof value === 'string') return this.number(value, path);
    if (typeof value !== 'object' || value === null) return;
    for (const [key, each] of Object.entries(value)) {
      const at = Array.isArray(value) ? Number(key) : key;
      if (!TEXTS.has(key)) this.numbers(each, [...path, at]);
    }
  }

  private number(text: string, path: Path): void {
    const reference = parseReference(text);
    if (reference && !this.defined.has(reference.name)) {
      const what = `variable $${reference.name} is not set by any step before`;
      this.add(
        path,
        what,
        this.defined.size === 0
          ? 'Name it with `as` or `bind` in an earlier step.'
          : suggestion(reference.name, [...this.defined]),
      );
    }
    for (const name of constantNames(text))
      if (!constants.has(name))
        this.add(path, `there is no constant ${quoted(name)}`, suggestion(name, [...constants.keys()]));
  }

  private form(action: ActionName, args: unknown, path: Path): void {
    if (action === 'ioctl') checkIoctl(args as ActionArgs['ioctl'], path, this.report);
    if (action === 'grant') this.receiver((args as ActionArgs['grant']).to, [...path, 'to']);
    if (action === 'pwrite') this.exactlyOne(args, ['hex', 'text', 'u8', 'u16', 'u32', 'u64'], path);
    if (action === 'send') this.exactlyOne(args, ['hex', 'text', 'zero', 'u8', 'u16', 'u32', 's32', 'u64'], path);
    if (action === 'pread') this.exactlyOne(args, ['length', 'u8', 'u16', 'u32', 'u64'], path);
    if (action === 'write') this.exactlyOne(args, ['hex', 'text', 'fill', 'u8', 'u16', 'u32', 'u64'], path);
    if (action === 'mmap') this.mapping(args as ActionArgs['mmap'], path);
    if (action === 'fault') this.fault(args as ActionArgs['fault'], path);
    if (action === 'plan') this.plan(args as ActionArgs['plan'], path);
    if (action === 'check') this.figures(args as ActionArgs['check'], path);
  }

  /** Bounds are the lab's to check: numbers may be variables. */
  private fault({ kind, device: _, ...given }: ActionArgs['fault'], path: Path): void {
    const { takes, needs = [] }: api.FaultKind = api.DEVICE_FAULTS[kind];
    for (const name of Object.keys(given))
      if (!takes.some((each) => each === name))
        this.add([...path, name], `${kind} has no ${name}`, `It takes ${takes.join(', ') || 'no parameters'}.`, true);
    for (const name of needs)
      if (!(name in given)) this.add(path, `${name} is missing`, `${kind} needs ${api.FAULT_PARAMETERS[name].what}.`);
  }

  private plan({ clear = [], release = [], add = {} }: ActionArgs['plan'], path: Path): void {
    release.forEach((name, i) => this.known(name, [...this.rules], [...path, 'release', i], 'rule'));
    clear.forEach((name, i) => this.known(name, [...this.rules], [...path, 'clear', i], 'rule'));
    for (const name of clear) this.rules.delete(name);
    const others = [...this.rules].filter((name) => !Object.hasOwn(add, name));
    this.problems.push(...planProblems(add, this.source, [...path, 'add'], others.length));
    for (const name of Object.keys(add)) this.rules.add(name);
  }

  private receiver(name: string, path: Path): void {
    this.known(name, this.processes, path, 'process');
    this.alive(name, path);
  }

  private exactlyOne(args: unknown, keys: readonly string[], path: Path): void {
    const found = keys.filter((key) => key in (args as object));
    if (found.length === 1) return;
    this.add(
      path,
      found.length === 0 ? 'what to transfer is missing' : `${found.join(' and ')} exclude each other`,
      `Give exactly one of: ${keys.join(', ')}.`,
    );
  }

  private mapping({ fd, region, pages }: ActionArgs['mmap'], path: Path): void {
    if ((fd === undefined) !== (region === undefined))
      this.add(path, 'half of what is mapped is missing', 'Give both `fd` and `region`, or neither for memory.');
    if (fd !== undefined && pages !== undefined)
      this.add([...path, 'pages'], 'a device has no pages to choose', 'Leave `pages` out.');
  }

  private figures({ figures = {} }: ActionArgs['check'], path: Path): void {
    for (const name of Object.keys(figures))
      if (!/^[^.]+(\.[0-7])?\.\w+$/.test(name))
        this.add(
          [...path, 'figures', name],
          `${quoted(name)} is no figure`,
          'Write SERVICE.NAME, for example pages.pins.',
          true,
        );
  }

  private expectation(action: ActionName, args: unknown, expect: Expect, path: Path): void {
    const allowed = ['errno', ...actionOf(action).facts];
    for (const key of Object.keys(expect))
      if (!allowed.includes(key))
        this.add([...path, key], `${action} answers no ${key}`, suggestion(key, allowed), true);
    if (expect.errno !== undefined && !isErrno(expect.errno))
      this.known(expect.errno, errnos, [...path, 'errno'], 'errno');
    const struct = action === 'ioctl' ? structOf(args as ActionArgs['ioctl']) : undefined;
    if (struct && expect['out']) checkFields(expect['out'] as GivenFields, struct, [...path, 'out'], this.report);
  }

  /** `as`, `bind` and `crash`. */
  private companions({ action, args, as, bind, crash }: RawStep, path: Path): void {
    if (as !== undefined && !actionOf(action).named)
      this.add([...path, 'as'], `${action} answers nothing that could be named`, 'Leave `as` out.', true);
    const struct = action === 'ioctl' ? structOf(args as ActionArgs['ioctl']) : undefined;
    if (bind && !struct)
      this.add(
        [...path, 'bind'],
        `${action} has no struct to take fields from`,
        'Use `bind` with an ioctl that has a struct.',
        true,
      );
    if (bind && struct)
      for (const name of Object.keys(bind))
        if (!(name in struct.fields))
          this.add(
            [...path, 'bind', name],
            `struct ${struct.name} has no field ${quoted(name)}`,
            suggestion(name, Object.keys(struct.fields)),
            true,
          );
    if (crash) this.crash(action, crash, [...path, 'crash']);
  }

  private crash(action: ActionName, { service, method }: NonNullable<RawStep['crash']>, path: Path): void {
    if (!actionOf(action).calls)
      this.add(path, `${action} asks no service of the host`, 'Put the crash on a step that makes a call.', true);
    if (!service.startsWith('device:')) this.known(service, SERVICES, [...path, 'service'], 'service');
    else if (!api.isAddress(addressOf(service)))
      this.add([...path, 'service'], `${quoted(service)} names no device`, 'Write it as device:0000:41:00.0.');
    this.known(method, METHODS, [...path, 'method'], 'message');
  }
}
