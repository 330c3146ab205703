/**
 * What an IOAS does with fixed MAP, UNMAP and COPY, as little as it takes to judge their answers.
 *
 * Words: addresses are slots of one page. A call has two *steps*: its *beginning*, where its answer is decided and its areas
 * become `coming` or `going`, and its *end*, where they are there or gone. What is coming or going still has its place (MAP:
 * EEXIST), is in the way of UNMAP (EBUSY), and is not there for COPY (ENOENT), as the kernel has it.
 * Rule: each step is atomic; a state is a value, never changed.
 */
import type { Errno } from '@vfiolab/uapi';

export interface Call {
  readonly kind: 'map' | 'unmap' | 'copy';
  /** First slot; of a copy, where it goes. */
  readonly at: number;
  readonly count: number;
  /** First slot that a copy takes from. */
  readonly from: number;
}

/** Slots are what an UNMAP says that it removed. */
export interface Answer {
  readonly errno: Errno | undefined;
  readonly slots: number;
}

interface Area {
  readonly at: number;
  readonly count: number;
  /** Number of the call that it belongs to on its way in or out; none when it is simply there. */
  readonly owner: number | undefined;
}

/** Ascending by place. */
export type Areas = readonly Area[];

export interface Beginning {
  readonly areas: Areas;
  readonly answer: Answer;
}

const end = ({ at, count }: { at: number; count: number }): number => at + count;
const meets = (a: { at: number; count: number }, at: number, count: number): boolean =>
  a.at < at + count && at < end(a);
const ordered = (areas: readonly Area[]): Areas => [...areas].sort((a, b) => a.at - b.at);
const refuse = (areas: Areas, errno: Errno): Beginning => ({ areas, answer: { errno, slots: 0 } });

/** First step of call number `id`. */
export function begin(areas: Areas, call: Call, id: number): Beginning {
  if (call.kind === 'map') return place(areas, [{ at: call.at, count: call.count, owner: id }]);
  return call.kind === 'copy' ? copy(areas, call, id) : unmap(areas, call, id);
}

/** Last step: what was coming is there, what was going is gone. */
export function finish(areas: Areas, call: Call, id: number): Areas {
  if (call.kind === 'unmap') return areas.filter(({ owner }) => owner !== id);
  return areas.map((a) => (a.owner === id ? { ...a, owner: undefined } : a));
}

function place(areas: Areas, coming: readonly Area[]): Beginning {
  if (coming.some((c) => areas.some((a) => meets(a, c.at, c.count)))) return refuse(areas, 'EEXIST');
  return { areas: ordered([...areas, ...coming]), answer: { errno: undefined, slots: 0 } };
}

/** One area for each that the source shows a part of. */
function copy(areas: Areas, { at, from, count }: Call, id: number): Beginning {
  const coming: Area[] = [];
  let next = from;
  for (const a of areas.filter((each) => meets(each, from, count))) {
    if (a.at > next || a.owner !== undefined) return refuse(areas, 'ENOENT');
    const last = Math.min(end(a), from + count);
    coming.push({ at: at + (next - from), count: last - next, owner: id });
    next = last;
  }
  return next === from + count ? place(areas, coming) : refuse(areas, 'ENOENT');
}

/** From the front, up to the first area that cannot go: those before it go all the same. */
function unmap(areas: Areas, { at, count }: Call, id: number): Beginning {
  const going = new Set<Area>();
  let errno: Errno | undefined;
  for (const a of areas.filter((each) => meets(each, at, count))) {
    if (a.owner !== undefined) errno = 'EBUSY';
    else if (a.at < at || end(a) > at + count) errno = 'ENOENT';
    if (errno) break;
    going.add(a);
  }
  const slots = [...going].reduce((sum, a) => sum + a.count, 0);
  if (slots === 0) errno ??= 'ENOENT';
  const after = areas.map((a) => (going.has(a) ? { ...a, owner: id } : a));
  return { areas: after, answer: { errno, slots: errno ? 0 : slots } };
}

export const keyOf = (areas: Areas): string =>
  areas.map(({ at, count, owner }) => `${at}+${count}${owner ?? ''}`).join();
