/**
 * Reading traces, strictly: what is wrong is said with file, line and field.
 *
 * Rule: whole numbers of 16 digits and more are kept as text, because a JSON number would lose their last digits.
 */
import { InputError } from './input-error.js';
import { COMMON_KEYS, STEP_KEYS } from './step-keys.js';
import { FORMAT, type Json, type JsonObject, type Step, type Trace, type TraceHeader } from './trace.js';

export class TraceError extends InputError {
  constructor(file: string, line: number, field: string, what: string) {
    super(`${file}:${line}: ${field === '' ? '' : `${field}: `}${what}`);
  }
}

/** A trace has at most this many steps, and a line at most this many characters. */
export const MAX_STEPS = 100_000;
export const MAX_LINE = 4_000_000;

/** All traces of a text: a header begins each. */
export function readTraces(text: string, file: string): Trace[] {
  const traces: (Trace & { readonly steps: Step[] })[] = [];
  text.split('\n').forEach((source, at) => {
    if (source.trim() === '') return;
    const line = new LineReader(file, at + 1, source);
    if ('format' in line.value) return void traces.push({ ...readHeader(line), file, steps: [] });
    const trace = traces.at(-1);
    if (!trace) throw line.wrong('format', `a file begins with a header: {"format": "${FORMAT}", ...}`);
    trace.steps.push(readStep(line, trace.steps.length));
  });
  if (traces.length === 0)
    throw new TraceError(file, 1, 'format', `no trace: the first line must be a ${FORMAT} header`);
  return traces;
}

/** The one trace of a text. */
export function readTrace(text: string, file: string): Trace {
  const [trace, second] = readTraces(text, file);
  if (second) throw new TraceError(file, 1, 'format', `one trace was expected, ${second.name} is a second one`);
  return trace!;
}

/** One line: an object, and its place for messages. */
class LineReader {
  readonly value: JsonObject;

  constructor(
    private readonly file: string,
    private readonly line: number,
    source: string,
  ) {
    if (source.length > MAX_LINE)
      throw this.wrong('', `the line has ${source.length} characters, ${MAX_LINE} is the most`);
    const value = this.parse(source);
    if (!isObject(value)) throw this.wrong('', 'a line is one JSON object');
    this.value = value;
  }

  private parse(source: string): Json {
    try {
      return JSON.parse(/\d{16}/.test(source) ? keepLongNumbers(source) : source) as Json;
    } catch (error) {
      throw this.wrong('', (error as Error).message);
    }
  }

  wrong(field: string, what: string): TraceError {
    return new TraceError(this.file, this.line, field, what);
  }

  text(field: string): string {
    const value = this.value[field];
    if (typeof value !== 'string') throw this.wrong(field, `a text is needed, not ${JSON.stringify(value)}`);
    return value;
  }

  texts(field: string): readonly string[] {
    const value = this.value[field] ?? [];
    if (!Array.isArray(value) || value.some((each) => typeof each !== 'string'))
      throw this.wrong(field, 'a list of texts is needed');
    return value as readonly string[];
  }

  wholes(field: string): readonly number[] {
    const value = this.value[field] ?? [];
    if (!Array.isArray(value) || value.some((each) => !Number.isSafeInteger(each)))
      throw this.wrong(field, 'a list of step numbers is needed');
    return value as readonly number[];
  }
}

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Puts quotes around long whole numbers that stand outside of texts. */
const keepLongNumbers = (source: string): string =>
  source.replace(/"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g, (found) => (found.startsWith('"') ? found : `"${found}"`));

function readHeader(line: LineReader): TraceHeader {
  const format = line.text('format');
  if (format !== FORMAT)
    throw line.wrong('format', `${JSON.stringify(format)} is not known; this reader knows ${FORMAT}`);
  const { family } = line.value;
  return {
    name: line.text('name'),
    title: line.text('title'),
    machine: line.text('machine'),
    kernel: line.text('kernel'),
    tags: line.texts('tags'),
    family: family === undefined ? undefined : line.text('family'),
    nondeterministic: new Set(line.wholes('nondeterministic_steps')),
  };
}

function readStep(line: LineReader, count: number): Step {
  if (count >= MAX_STEPS) throw line.wrong('i', `a trace has at most ${MAX_STEPS} steps`);
  const { value } = line;
  if (value['i'] !== count)
    throw line.wrong('i', `${JSON.stringify(value['i'])} should be ${count}: steps count from 0`);
  const op = line.text('op');
  const keys = STEP_KEYS.get(op);
  if (!keys) throw line.wrong('op', `${JSON.stringify(op)} is none of ${[...STEP_KEYS.keys()].join(', ')}`);
  for (const key of keys.required) if (!(key in value)) throw line.wrong(key, `${op} needs it`);
  for (const key of Object.keys(value))
    if (!COMMON_KEYS.has(key) && !keys.required.includes(key) && !keys.optional?.includes(key))
      throw line.wrong(key, `${op} has no such key`);
  return value as Step;
}
