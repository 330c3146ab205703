/**
 * Is there an order of the calls' steps that explains every answer?
 *
 * Words: a *history* is what clients saw: when each call was made, when it was answered, and how. Two calls whose times
 * overlap may have happened in either order, or within each other.
 * Rule: a call begins after it was made and ends before it was answered. The search goes through all orders (after Wing and
 * Gong, 1993), and through none twice.
 */
import { type Answer, type Areas, begin, type Call, finish, keyOf } from './areas-model.js';

export interface Event {
  readonly client: number;
  readonly call: Call;
  readonly answer: Answer;
  /** Places in the order of everything that clients did and saw. */
  readonly made: number;
  readonly answered: number;
}

export type History = readonly Event[];

/** How far each client has come: twice the calls that have ended, and one more when the next has begun. */
type Progress = readonly number[];

interface Config {
  readonly areas: Areas;
  readonly progress: Progress;
}

export interface Verdict {
  /** An order was found. */
  readonly explained: boolean;
  /** Configurations that were looked at. */
  readonly visited: number;
  /** The calls that the longest attempt got through. */
  readonly reached: number;
}

export function linearise(history: History): Verdict {
  const byClient = groupByClient(history);
  const start: Config = { areas: [], progress: byClient.map(() => 0) };
  const seen = new Set<string>();
  const stack: Config[] = [start];
  let reached = 0;
  while (stack.length > 0) {
    const config = stack.pop()!;
    const key = `${config.progress.join(' ')}|${keyOf(config.areas)}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const steps = config.progress.reduce((sum, n) => sum + n, 0);
    reached = Math.max(reached, Math.floor(steps / 2));
    if (steps === 2 * history.length) return { explained: true, visited: seen.size, reached };
    stack.push(...nextConfigs(byClient, config));
  }
  return { explained: false, visited: seen.size, reached };
}

function groupByClient(history: History): Event[][] {
  const clients = Math.max(0, ...history.map(({ client }) => client + 1));
  const inOrder = [...history].sort((a, b) => a.made - b.made);
  return Array.from({ length: clients }, (_, c) => inOrder.filter(({ client }) => client === c));
}

/** Every step that may come next: of calls made before the first call that is not over was answered. */
function nextConfigs(byClient: readonly Event[][], config: Config): Config[] {
  const current = byClient.map((events, c) => events[config.progress[c]! >> 1]);
  const deadline = Math.min(...current.map((event) => event?.answered ?? Infinity));
  return current.flatMap((event) => (event && event.made < deadline ? step(config, event) : []));
}

function step({ areas, progress }: Config, { client, call, answer }: Event): Config[] {
  const id = client;
  const advanced = progress.map((n, c) => (c === client ? n + 1 : n));
  if (progress[client]! % 2 === 1) return [{ areas: finish(areas, call, id), progress: advanced }];
  const begun = begin(areas, call, id);
  const fits = begun.answer.errno === answer.errno && begun.answer.slots === answer.slots;
  return fits ? [{ areas: begun.areas, progress: advanced }] : [];
}
