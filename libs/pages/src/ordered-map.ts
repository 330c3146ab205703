/**
 * A map with ordered whole-number keys, the base of every range structure here.
 *
 * Words: a *chunk* holds up to 64 neighbouring keys with their values; the *directory* is the list of chunks by first key.
 * Rule: keys are ascending within and across chunks and no chunk is empty, so a look-up is two binary searches and a
 * change moves at most one chunk's entries. The contents never depend on the order of the changes that led to them.
 */

export interface Entry<V> {
  readonly key: number;
  readonly value: V;
}

interface Chunk<V> {
  keys: number[];
  values: V[];
}

const CHUNK_MAX = 64;
/** Neighbours that together are no longer than this become one chunk, so that deletions leave no crumbs. */
const CHUNK_JOIN = 32;

/** How many of the ascending keys are not above `key`. */
function countUpTo(keys: readonly number[], key: number): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The list with an item more. As `splice`, which is slower by far on arrays this short because it makes another one. One
 * key becomes two in an array of two: `push` would make room for 17, and most maps have no more than two keys.
 */
function inserted<T>(list: T[], at: number, item: T): T[] {
  if (list.length === 1) return at === 0 ? [item, list[0]!] : [list[0]!, item];
  list.push(item);
  for (let i = list.length - 1; i > at; i--) list[i] = list[i - 1]!;
  list[at] = item;
  return list;
}

function removeAt<T>(list: T[], at: number): void {
  for (let i = at + 1; i < list.length; i++) list[i - 1] = list[i]!;
  list.pop();
}

/** Shared by all empty maps; never written to. */
const NOTHING: never[] = [];

export class OrderedMap<V> implements Chunk<V> {
  /** The only chunk, while there is no more than one: most maps are that small, and an object and an array less. */
  keys: number[] = NOTHING;
  values: V[] = NOTHING;
  /** All chunks, once there are several. */
  private many: Chunk<V>[] | undefined;
  private count = 0;

  get size(): number {
    return this.count;
  }

  private get chunkCount(): number {
    if (this.many) return this.many.length;
    return this.count === 0 ? 0 : 1;
  }

  private chunk(c: number): Chunk<V> | undefined {
    if (this.many) return this.many[c];
    return c === 0 && this.count > 0 ? this : undefined;
  }

  /** Index of the chunk where `key` is or would be; -1 when it lies before all. */
  private chunkFor(key: number): number {
    let low = 0;
    let high = this.chunkCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.chunk(middle)!.keys[0]! <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  get(key: number): V | undefined {
    const chunk = this.chunk(this.chunkFor(key));
    if (chunk === undefined) return undefined;
    const at = countUpTo(chunk.keys, key) - 1;
    return chunk.keys[at] === key ? chunk.values[at] : undefined;
  }

  /** The entry with the greatest key not above `key`. */
  floor(key: number): Entry<V> | undefined {
    const chunk = this.chunk(this.chunkFor(key));
    if (chunk === undefined) return undefined;
    const at = countUpTo(chunk.keys, key) - 1;
    return { key: chunk.keys[at]!, value: chunk.values[at]! };
  }

  /** The entry with the least key above `key`. */
  higher(key: number): Entry<V> | undefined {
    let c = this.chunkFor(key);
    let at = c < 0 ? 0 : countUpTo(this.chunk(c)!.keys, key);
    if (c < 0 || at === this.chunk(c)!.keys.length) {
      c++;
      at = 0;
    }
    const chunk = this.chunk(c);
    return chunk && { key: chunk.keys[at]!, value: chunk.values[at]! };
  }

  set(key: number, value: V): void {
    if (this.count === 0) {
      this.keys = [key];
      this.values = [value];
      this.count = 1;
      return;
    }
    const c = Math.max(this.chunkFor(key), 0);
    const chunk = this.chunk(c)!;
    const after = countUpTo(chunk.keys, key);
    if (after > 0 && chunk.keys[after - 1] === key) {
      chunk.values[after - 1] = value;
      return;
    }
    chunk.keys = inserted(chunk.keys, after, key);
    chunk.values = inserted(chunk.values, after, value);
    this.count++;
    if (chunk.keys.length > CHUNK_MAX) this.halve(c);
  }

  private halve(c: number): void {
    if (!this.many) {
      this.many = [{ keys: this.keys, values: this.values }];
      this.keys = NOTHING;
      this.values = NOTHING;
    }
    const { keys, values } = this.many[c]!;
    const half = keys.length >> 1;
    this.many.splice(c + 1, 0, { keys: keys.splice(half), values: values.splice(half) });
  }

  delete(key: number): boolean {
    const c = this.chunkFor(key);
    const chunk = this.chunk(c);
    if (chunk === undefined) return false;
    const at = countUpTo(chunk.keys, key) - 1;
    if (chunk.keys[at] !== key) return false;
    this.count--;
    if (chunk.keys.length === 1) {
      this.dropChunk(c);
      return true;
    }
    removeAt(chunk.keys, at);
    removeAt(chunk.values, at);
    this.joinNext(c);
    return true;
  }

  private dropChunk(c: number): void {
    if (this.many) {
      this.many.splice(c, 1);
      return this.fold();
    }
    this.keys = NOTHING;
    this.values = NOTHING;
  }

  private joinNext(c: number): void {
    const chunk = this.many?.[c];
    const next = this.many?.[c + 1];
    if (!chunk || !next || chunk.keys.length + next.keys.length > CHUNK_JOIN) return;
    chunk.keys.push(...next.keys);
    chunk.values.push(...next.values);
    this.many!.splice(c + 1, 1);
    this.fold();
  }

  /** Back to the form of one chunk, when one is left. */
  private fold(): void {
    if (this.many?.length !== 1) return;
    ({ keys: this.keys, values: this.values } = this.many[0]!);
    this.many = undefined;
  }

  /** Replaces the value of every key in [from, to). */
  update(from: number, to: number, change: (value: V) => V): void {
    for (let c = Math.max(this.chunkFor(from), 0); c < this.chunkCount; c++) {
      const { keys, values } = this.chunk(c)!;
      if (keys[0]! >= to) return;
      for (let i = countUpTo(keys, from - 1); i < keys.length && keys[i]! < to; i++) values[i] = change(values[i]!);
    }
  }

  /** Entries with keys in [from, to), ascending. The map must not change meanwhile. */
  *entries(from = -Infinity, to = Infinity): IterableIterator<Entry<V>> {
    for (let c = Math.max(this.chunkFor(from), 0); c < this.chunkCount; c++) {
      const { keys, values } = this.chunk(c)!;
      if (keys[0]! >= to) return;
      for (let i = countUpTo(keys, from - 1); i < keys.length && keys[i]! < to; i++)
        yield { key: keys[i]!, value: values[i]! };
    }
  }

  clear(): void {
    this.keys = NOTHING;
    this.values = NOTHING;
    this.many = undefined;
    this.count = 0;
  }
}
