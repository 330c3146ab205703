/**
 * Reading a rule: names must be known, and clauses must go together.
 *
 * Rule: a rule that passes can act; what is wrong is said with the clause that is wrong, and what would be right.
 */
import { type Errno, ioctlsByName, isErrno } from '@vfiolab/uapi';
import { type Address, CONTAINER, GROUPS, IOMMU, IOMMUFD, isAddress, LAB, PAGES } from '../address.js';
import { DEVICE_FAULTS, FAULT_PARAMETERS, faultError, type FaultParameter } from '../protocol/device-faults.js';
import { methodCalled, methodNames } from './methods.js';
import { errnosOf } from './refusable.js';
import { addressOfEnd, deviceFaultOf, millisecondsOf } from './rule-values.js';
import {
  type Clause,
  DOWN_MS,
  FRAME_KINDS,
  FRAME_VERBS,
  type FramePattern,
  type FaultRule,
  MAX_DELAY_MS,
  MAX_RULES,
  MAX_TIMES,
  MAX_WINDOW_MS,
  type Often,
  type RawRule,
  type RawRules,
  SERVICE_VERBS,
  type Verb,
  VERBS,
} from './rule.js';

/** `key`: which clause is wrong; undefined: the rule as a whole. */
export interface RuleProblem {
  readonly rule: string;
  readonly key: string | undefined;
  readonly what: string;
  readonly hint: string;
}

const SERVICES = [GROUPS, PAGES, IOMMU, IOMMUFD, CONTAINER, LAB, 'device'];
const FRAME_CLAUSES: readonly Clause[] = ['from', 'to', 'of', 'nth', 'every', 'times', 'after', 'for'];
const SERVICE_CLAUSES: readonly Clause[] = ['at', 'from', 'of', 'nth', 'every', 'times', 'after', 'for'];
const parameters = Object.keys(FAULT_PARAMETERS) as FaultParameter[];

/** What each verb takes besides its object. */
export const CLAUSES: Readonly<Record<Verb, readonly Clause[]>> = {
  drop: FRAME_CLAUSES,
  delay: [...FRAME_CLAUSES, 'by'],
  repeat: [...FRAME_CLAUSES, 'by'],
  hold: FRAME_CLAUSES,
  refuse: [...FRAME_CLAUSES, 'with'],
  partition: ['from', 'after', 'for'],
  crash: SERVICE_CLAUSES,
  pause: SERVICE_CLAUSES,
  'fill-disk': SERVICE_CLAUSES,
  break: ['with', 'after', ...parameters],
};

const NAME = /^[a-z][a-z0-9-]{0,30}$/;
const BDF = /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

const isOneOf = <T extends string>(list: readonly T[], word: unknown): word is T => list.includes(word as T);

/** Rules by name, or everything that is wrong with them. `known`: rules that there are already. */
export function readRules(raw: RawRules, known = 0): { rules: FaultRule[]; problems: RuleProblem[] } {
  const problems: RuleProblem[] = [];
  const rules: FaultRule[] = [];
  const entries = Object.entries(raw);
  if (entries.length + known > MAX_RULES) {
    const what = `${entries.length + known} rules are too many`;
    return { rules, problems: [{ rule: '', key: undefined, what, hint: `A plan has at most ${MAX_RULES} rules.` }] };
  }
  for (const [name, each] of entries) {
    const reader = new RuleReader(name, each);
    const rule = reader.read();
    problems.push(...reader.problems);
    if (rule && reader.problems.length === 0) rules.push(rule);
  }
  return { rules, problems };
}

export function ruleProblemText({ rule, key, what, hint }: RuleProblem): string {
  const where = rule === '' ? '' : `${rule}${key === undefined ? '' : `.${key}`}: `;
  return `${where}${what}. ${hint}`;
}

class RuleReader {
  readonly problems: RuleProblem[] = [];

  constructor(
    private readonly name: string,
    private readonly raw: RawRule,
  ) {}

  read(): FaultRule | undefined {
    const { raw } = this;
    if (!NAME.test(this.name))
      this.add(undefined, 'this cannot be the name of a rule', 'Use small letters, digits, -.');
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw))
      return this.add(undefined, 'no rule', 'Give one.');
    // A device's registers can be slow too: `delay` is a number then.
    const isParameter = (verb: Verb): boolean => verb === 'delay' && typeof raw.delay === 'number';
    const verbs = VERBS.filter((verb) => raw[verb] !== undefined && !(raw.break !== undefined && isParameter(verb)));
    if (verbs.length !== 1)
      return this.add(verbs[1], `the rule has ${verbs.length} verbs`, `Give exactly one of: ${VERBS.join(', ')}.`);
    const [verb] = verbs as [Verb];
    for (const key of Object.keys(raw))
      if (key !== verb && !isOneOf(CLAUSES[verb], key))
        this.add(key, `${verb} takes no ${key}`, `It takes: ${CLAUSES[verb].join(', ')}.`);
    return this.problems.length > 0 ? undefined : this.ruleOf(verb);
  }

  private add(key: string | undefined, what: string, hint: string): undefined {
    this.problems.push({ rule: this.name, key, what, hint });
  }

  private ruleOf(verb: Verb): FaultRule | undefined {
    if (isOneOf(FRAME_VERBS, verb)) return this.frameRule(verb);
    if (isOneOf(SERVICE_VERBS, verb)) return this.serviceRule(verb);
    return verb === 'partition' ? this.partition() : this.breakRule();
  }

  private frameRule(verb: (typeof FRAME_VERBS)[number]): FaultRule | undefined {
    const { name, raw } = this;
    const kinds = raw[verb];
    if (!isOneOf(FRAME_KINDS, kinds)) return this.add(verb, `${String(kinds)} are no frames`, oneOf(FRAME_KINDS));
    if (raw.of !== undefined && kinds === 'messages')
      this.add('of', 'messages have no one meaning', 'Say requests, answers or events.');
    const pattern: FramePattern = { kinds, from: this.end('from'), to: this.end('to'), of: this.subject() };
    const often = this.often(verb === 'refuse' ? 1 : MAX_TIMES);
    if (verb === 'drop' && raw.times === undefined && raw.for === undefined)
      this.add(undefined, 'it would never end', 'Say how often (times) or how long (for).');
    if (verb === 'delay' && raw.by === undefined)
      this.add(undefined, 'by is missing', 'Say how long, for example 40ms.');
    const byMs = this.duration('by', MAX_DELAY_MS) ?? 0;
    return { name, raw, verb, pattern, often, byMs, errno: verb === 'refuse' ? this.errno(kinds, pattern) : undefined };
  }

  /** Only what the kernel can refuse is refused: undoing and letting go cannot. */
  private errno(kinds: string, { of }: FramePattern): Errno | undefined {
    const errno = this.raw.with;
    if (kinds !== 'requests') return this.add('refuse', `${kinds} are not refused`, 'Say: refuse: requests.');
    if (of === undefined) return this.add(undefined, 'of is missing', 'Say which request, for example pages.pin.');
    if (typeof errno !== 'string' || !isErrno(errno))
      return this.add('with', `${String(errno)} is no errno`, 'Give one such as ENOMEM.');
    const allowed = errnosOf(of) ?? [];
    if (allowed.length === 0) return this.add('of', `nobody can refuse ${of}`, 'Give a request that can fail.');
    if (!isOneOf(allowed, errno)) return this.add('with', `${of} does not fail with ${errno}`, oneOf(allowed));
    return errno;
  }

  private partition(): FaultRule | undefined {
    const { name, raw } = this;
    const one = this.end('partition');
    if (raw.for === undefined) this.add(undefined, 'for is missing', 'Say how long, for example 500ms.');
    const often = this.often(MAX_TIMES);
    return one === undefined ? undefined : { name, raw, verb: 'partition', one, other: this.end('from'), often };
  }

  private serviceRule(verb: (typeof SERVICE_VERBS)[number]): FaultRule | undefined {
    const { name, raw } = this;
    const target = this.end(verb, false);
    if (target === undefined) return undefined;
    const troubleMs = this.duration('for', MAX_DELAY_MS) ?? DOWN_MS;
    const at = this.moment(target);
    if (!at)
      for (const key of ['from', 'of', 'nth', 'every', 'times'] as const)
        if (raw[key] !== undefined) this.add(key, 'it has no occurrence', 'Say `at: requests` or `at: answers` too.');
    return { name, raw, verb, target, at, troubleMs, often: { ...this.often(1), forMs: Infinity } };
  }

  private moment(target: Address): FramePattern | undefined {
    const { at } = this.raw;
    if (at === undefined) return undefined;
    const [peer, of] = [this.end('from'), this.subject()];
    if (at === 'requests') return { kinds: at, from: peer, to: target, of };
    if (at === 'answers') return { kinds: at, from: target, to: peer, of };
    return this.add('at', `${String(at)} is no moment`, oneOf(['requests', 'answers']));
  }

  private breakRule(): FaultRule | undefined {
    const { name, raw } = this;
    const device = String(raw.break);
    if (!BDF.test(device)) return this.add('break', `${device} names no device`, 'Write it as 0000:41:00.0.');
    const wrong = faultError(deviceFaultOf(raw));
    if (wrong !== '') this.add('with', wrong.replace(/[.]$/, ''), `Faults: ${Object.keys(DEVICE_FAULTS).join(', ')}.`);
    return { name, raw, verb: 'break', device, often: this.often(1) };
  }

  private end(key: 'from' | 'to' | Verb, clients = true): Address | undefined {
    const value = this.raw[key];
    if (value === undefined) return undefined;
    const address = addressOfEnd(String(value));
    const known =
      isOneOf(SERVICES, value) || (clients && address === 'client') || /^(device|client):/.test(String(value));
    if (known && isAddress(address) && (clients || !address.startsWith('client'))) return address;
    const more = clients ? ', client, client:NAME' : '';
    return this.add(key, `nobody is called ${String(value)}`, `Use one of: ${SERVICES.join(', ')}, device:BDF${more}.`);
  }

  private subject(): string | undefined {
    const { of } = this.raw;
    if (of === undefined) return undefined;
    const name = String(of);
    if (ioctlsByName.has(name) || methodCalled(name)) return name;
    const [service] = name.split('.');
    const near = methodNames().filter((each) => each.startsWith(`${service}.`));
    return this.add(
      'of',
      `there is no message or ioctl ${name}`,
      near.length > 0 ? oneOf(near) : 'Give one such as pages.pin or IOMMU_IOAS_MAP.',
    );
  }

  private often(times: number): Often {
    return {
      nth: this.count('nth') ?? 1,
      every: this.count('every') ?? 1,
      times: this.count('times') ?? times,
      afterMs: this.duration('after', MAX_WINDOW_MS, 0) ?? 0,
      forMs: this.duration('for', MAX_WINDOW_MS) ?? Infinity,
    };
  }

  private count(key: 'nth' | 'every' | 'times'): number | undefined {
    const value = this.raw[key];
    if (value === undefined || (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MAX_TIMES))
      return value as number | undefined;
    return this.add(key, `${String(value)} is no count`, `Give a whole number from 1 to ${MAX_TIMES}.`);
  }

  private duration(key: 'by' | 'after' | 'for', most: number, least = 1): number | undefined {
    const value = this.raw[key];
    if (value === undefined) return undefined;
    const ms = millisecondsOf(String(value));
    if (ms !== undefined && ms >= least && ms <= most) return ms;
    return this.add(key, `${String(value)} cannot be the time here`, `Give 40ms or 2s, at most ${most / 1000}s.`);
  }
}

const oneOf = (names: readonly string[]): string => `Use one of: ${names.join(', ')}.`;
