/**
 * Objects of a fixed shape, read and written at once.
 *
 * Why: adding keys one by one makes the engine change the object's hidden class at every key; a literal does not. And code
 * of its own for every shape lets the engine see which codec stands behind each field. Together that is several times as
 * fast. The code is made when a layout is declared, from our own field names only.
 */

/**
 * Compiles `(source, at) => ({ a: <read part 0>, b: <read part 1>, ... })`. `read` gives the expression for a part, which
 * may use its name, `source` and `at`.
 */
export function shapeReader<S, P>(
  parts: Readonly<Record<string, P>>,
  read: (name: string, part: P) => string,
): (source: S, at: number) => Record<string, unknown> {
  const fields = Object.entries(parts).map(([key, part], i) => `${identifier(key)}: ${read(`p${i}`, part)}`);
  return compile(parts, `(source, at) => ({ ${fields.join(', ')} })`);
}

/** Compiles `(sink, value) => { p0.write(sink, value.a); p1.write(sink, value.b); ... }`. */
export function shapeWriter<S, P extends { write(sink: S, value: never): void }>(
  parts: Readonly<Record<string, P>>,
): (sink: S, value: object) => void {
  const calls = Object.keys(parts).map((key, i) => `p${i}.write(sink, value.${identifier(key)});`);
  return compile(parts, `(sink, value) => { ${calls.join(' ')} }`);
}

function compile<F>(parts: Readonly<Record<string, unknown>>, code: string): F {
  const names = Object.keys(parts).map((_, i) => `p${i}`);
  const make = new Function(...names, `return ${code};`) as (...p: readonly unknown[]) => F;
  return make(...Object.values(parts));
}

function identifier(key: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) throw new Error(`${JSON.stringify(key)} cannot be the name of a field`);
  return key;
}
