/**
 * Objects of a fixed shape, built at once.
 *
 * Why: adding keys one by one makes the engine change the object's hidden class at every key; a literal does not, and is
 * several times as fast. The function is compiled when a layout is declared, from our own field names only.
 */

/** Compiles `(source, at) => ({ a: readers[0](source, at), b: readers[1](source, at), ... })`. */
export function shapeReader<S>(
  keys: readonly string[],
  readers: readonly ((source: S, at: number) => unknown)[],
): (source: S, at: number) => Record<string, unknown> {
  const fields = keys.map((key, i) => `${identifier(key)}: r${i}(source, at)`);
  const names = keys.map((_, i) => `r${i}`);
  const make = new Function(...names, `return (source, at) => ({ ${fields.join(', ')} });`) as (
    ...r: readonly unknown[]
  ) => (source: S, at: number) => Record<string, unknown>;
  return make(...readers);
}

/** Compiles `(sink, value) => { writers[0](sink, value.a); writers[1](sink, value.b); ... }`. */
export function shapeWriter<S>(
  keys: readonly string[],
  writers: readonly ((sink: S, value: never) => void)[],
): (sink: S, value: object) => void {
  const calls = keys.map((key, i) => `w${i}(sink, value.${identifier(key)});`);
  const names = keys.map((_, i) => `w${i}`);
  const make = new Function(...names, `return (sink, value) => { ${calls.join(' ')} };`) as (
    ...w: readonly unknown[]
  ) => (sink: S, value: object) => void;
  return make(...writers);
}

function identifier(key: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw new Error(`${JSON.stringify(key)} cannot be the name of a field`);
  return key;
}
