/**
 * kube-scheduler's extender protocol, v1: which nodes take a pod, how good each is, and that it goes there.
 *
 * Words: the caller *caches nodes* when it sends their names alone; else it sends whole nodes, and gets those back that do.
 * Rule: keys are read whatever their case, as Go does. What is wrong with a pod is said in the answer, where the protocol has a
 * place for it; nothing here throws.
 */
import { CLUSTER_LIMITS, InputError, kubePod, type LiveCluster, MAX_SCORE, type Names } from '@vfiolab/cluster';

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Bookings that may be under way or kept: one more is refused. */
const MOST_BOOKINGS = CLUSTER_LIMITS.pods;
/** The extender's best score. */
const BEST = 10;

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A member whatever its case. */
function member(of: unknown, name: string): unknown {
  if (!isObject(of)) return undefined;
  const key = Object.hasOwn(of, name)
    ? name
    : Object.keys(of).find((each) => each.toLowerCase() === name.toLowerCase());
  return key === undefined ? undefined : of[key];
}

const text = (of: unknown, name: string): string | undefined => {
  const value = member(of, name);
  return typeof value === 'string' && value !== '' ? value : undefined;
};

/** The nodes asked about: their names, and how to answer about some of them. */
interface Asked {
  readonly names: readonly string[];
  some(names: ReadonlySet<string>): Json;
}

function askedOf(args: unknown): Asked | undefined {
  const names = member(args, 'NodeNames');
  if (Array.isArray(names) && names.every((each) => typeof each === 'string'))
    return { names, some: (kept) => ({ NodeNames: names.filter((each) => kept.has(each)) }) };
  const list = member(args, 'Nodes');
  const items = member(list, 'items');
  if (!isObject(list) || !Array.isArray(items)) return undefined;
  const nameOf = (node: unknown): string => text(member(node, 'metadata'), 'name') ?? '';
  return {
    names: items.map(nameOf),
    some: (kept) => ({ Nodes: { ...list, items: items.filter((each) => kept.has(nameOf(each))) } }),
  };
}

/** Of pods that are being placed. */
export class Extender {
  constructor(
    private readonly cluster: LiveCluster,
    private readonly kinds: Names,
  ) {}

  /** What it answers, by path. */
  readonly verbs: Readonly<Record<string, (body: unknown) => Answer>> = {
    '/filter': (body) => this.filter(body),
    '/prioritize': (body) => this.prioritize(body),
    '/bind': (body) => this.bind(body),
    '/release': (body) => this.release(body),
  };

  /** By `bind`: a pod that no `filter` has told of is not known. */
  private readonly seen = new Map<string, ReturnType<LiveCluster['request']>>();

  private filter(args: unknown): Answer {
    const asked = askedOf(args);
    if (!asked) return wrong('neither NodeNames nor Nodes.items is a list');
    const request = this.requestOf(args);
    if (typeof request === 'string') return { status: 200, body: { Error: request } };
    const found = this.cluster.look(request, asked.names);
    const kept = new Set<string>();
    const failed: Record<string, string> = {};
    const never: Record<string, string> = {};
    for (const [i, name] of asked.names.entries()) {
      const code = found[i];
      if (typeof code === 'number') kept.add(name);
      else if (code === undefined) never[name] = 'no such host is known';
      // No pod that ends makes another model of a host, or lets it lock more.
      else (code === 'model' || code === 'memlock' ? never : failed)[name] = `lacks ${code}`;
    }
    const body = { ...asked.some(kept), FailedNodes: failed, FailedAndUnresolvableNodes: never, Error: '' };
    return { status: 200, body };
  }

  private prioritize(args: unknown): Answer {
    const asked = askedOf(args);
    if (!asked) return wrong('neither NodeNames nor Nodes.items is a list');
    const request = this.requestOf(args);
    if (typeof request === 'string') return wrong(request);
    const scores = this.cluster.look(request, asked.names).map((each) => (typeof each === 'number' ? each : -1));
    const [least, most] = scores.reduce(
      ([low, high], each) => (each < 0 ? [low, high] : [Math.min(low, each), Math.max(high, each)]),
      [MAX_SCORE, 0],
    );
    // The best alone get the best score: eleven steps are few.
    const scoreOf = (score: number): number =>
      score < 0 ? 0 : score === most ? BEST : Math.floor(((BEST - 1) * (score - least)) / (most - least));
    return { status: 200, body: asked.names.map((Host, i) => ({ Host, Score: scoreOf(scores[i]!) })) };
  }

  private bind(args: unknown): Answer {
    const [key, node] = [text(args, 'PodUID'), text(args, 'Node')];
    if (key === undefined || node === undefined) return wrong('PodUID or Node is missing');
    const request = this.seen.get(key);
    const before = this.cluster.hostOf(key);
    if (before !== undefined) return error(before === node ? '' : `the pod is on ${before} already`);
    if (!request) return error('the pod is not known here: no filter asked about it');
    if (this.cluster.bookings >= MOST_BOOKINGS) return error(`more than ${MOST_BOOKINGS} pods`);
    const reason = this.cluster.book(key, request, node);
    if (reason === undefined) this.seen.delete(key);
    return error(reason === undefined ? '' : `${node} does not take it: ${reason}`);
  }

  /** Not of the protocol: a pod has ended, and what it had is free. */
  private release(args: unknown): Answer {
    const key = text(args, 'PodUID');
    if (key === undefined) return wrong('PodUID is missing');
    this.seen.delete(key);
    return error(this.cluster.release(key) ? '' : 'the pod is on no host here');
  }

  /** What a pod asks for, remembered for its `bind`; or what is wrong with it. */
  private requestOf(args: unknown): Exclude<ReturnType<LiveCluster['request']>, undefined> | string {
    const pod = member(args, 'Pod');
    try {
      const request = this.cluster.request(kubePod(pod, this.kinds));
      if (!request) return `more than ${CLUSTER_LIMITS.classes} different requests have come`;
      const key = text(member(pod, 'metadata'), 'uid');
      if (key !== undefined) this.remember(key, request);
      return request;
    } catch (e) {
      if (e instanceof InputError) return e.message;
      throw e;
    }
  }

  private remember(key: string, request: ReturnType<LiveCluster['request']>): void {
    this.seen.delete(key);
    this.seen.set(key, request);
    if (this.seen.size > MOST_SEEN) this.seen.delete(this.seen.keys().next().value!);
  }
}

/** Pods that were asked about and are not bound yet; of more the oldest is forgotten. */
export const MOST_SEEN = 65_536;

const wrong = (problem: string): Answer => ({ status: 400, body: { error: problem } });
const error = (problem: string): Answer => ({ status: 200, body: { Error: problem } });
