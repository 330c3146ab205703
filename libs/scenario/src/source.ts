/**
 * A YAML text with the place of everything in it.
 *
 * Words: a *path* is the way from the root: `['steps', 3, 'ioctl']`.
 * Rule: integers beyond 2^53 come out as hex text, so nothing is ever rounded.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { type Problem, ScenarioError } from './errors.js';

export type Path = readonly (string | number)[];

/** Characters of one file. */
export const MAX_TEXT = 1024 * 1024;
/** Uses of anchors in one file. */
const MAX_ALIASES = 1000;

export const pathText = (path: Path): string =>
  path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : text === '' ? key : `${text}.${key}`),
    '',
  );

export class Source {
  private constructor(
    readonly file: string,
    private readonly document: Document.Parsed,
    private readonly lines: LineCounter,
    readonly value: unknown,
  ) {}

  /** Throws ScenarioError for text that is too long or no YAML. */
  static parse(text: string, file: string): Source {
    const lines = new LineCounter();
    const whole = (what: string, hint: string, line = 1, column = 1): ScenarioError =>
      new ScenarioError([{ file, line, column, path: '', what, hint }]);
    if (text.length > MAX_TEXT)
      throw whole(`the file has ${text.length} characters`, `Use at most ${MAX_TEXT}; split the scenario.`);
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, intAsBigInt: true });
    const problems = document.errors.map((error): Problem => {
      const at = lines.linePos(error.pos[0]);
      return {
        file,
        line: at.line,
        column: at.col,
        path: '',
        what: oneLine(error.message),
        hint: 'This is no valid YAML; see yaml.org/spec/1.2.',
      };
    });
    if (problems.length > 0) throw new ScenarioError(problems);
    try {
      return new Source(file, document, lines, exact(document.toJS({ maxAliasCount: MAX_ALIASES })));
    } catch (error) {
      throw whole(
        oneLine(String(error)),
        `Use anchors at most ${MAX_ALIASES} times, and only those that the file defines.`,
      );
    }
  }

  /** A problem at a path, or at the nearest place around it that the file has. `key`: at the key, not at its value. */
  problem(path: Path, what: string, hint: string, key = false): Problem {
    const { line, col } = this.lines.linePos(this.offsetOf(path, key));
    return { file: this.file, line, column: col, path: pathText(path), what, hint };
  }

  line(path: Path): number {
    return this.lines.linePos(this.offsetOf(path, false)).line;
  }

  private offsetOf(path: Path, key: boolean): number {
    let node: unknown = this.document.contents;
    let offset = startOf(node) ?? 0;
    path.forEach((each, i) => {
      if (isAlias(node)) node = node.resolve(this.document);
      const found = child(node, each);
      if (!found) return void (node = undefined);
      node = found.value;
      offset =
        (key && i === path.length - 1 ? startOf(found.key) : (startOf(found.value) ?? startOf(found.key))) ?? offset;
    });
    return offset;
  }
}

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0];

function child(node: unknown, key: string | number): { key: unknown; value: unknown } | undefined {
  if (isSeq(node)) return { key: undefined, value: node.items[Number(key)] };
  if (!isMap(node)) return undefined;
  return node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key));
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').replace(/[.:]\s*$/, '');

/** The same value with every bigint as a number when that is exact, else as hex text. */
function exact(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    if (Number.isSafeInteger(number)) return number;
    return value < 0n ? String(value) : `0x${value.toString(16)}`;
  }
  if (Array.isArray(value)) return value.map(exact);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, exact(each)]));
}
