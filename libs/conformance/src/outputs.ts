/**
 * What a call wrote, in the words of a trace.
 *
 * Rule: after success every output is printed, and every other field that changed; after failure only what changed. An id
 * that a variable of the step holds is printed as that variable, an fd that nobody holds as `fd`.
 */
import { capabilityChain } from './capability-chain.js';
import type { Argument, Buffer, Form } from './argument.js';
import type { TraceField, TraceStruct } from './structs.js';
import type { Json } from './trace.js';
import { hexOf, type Variables } from './values.js';

/** The variable that a value is printed as. */
export type Namer = (path: string, field: TraceField, value: bigint) => string | undefined;

export function readNumber(bytes: Uint8Array, at: number, size: number): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i] ?? 0);
  return value;
}

function printed(field: TraceField, value: bigint, name: string | undefined): Json {
  if (name !== undefined) return name;
  if (field.kind === 'fd') {
    const number = Number(BigInt.asIntN(32, value));
    return number >= 0 ? 'fd' : number;
  }
  return field.size === 8 ? `0x${value.toString(16)}` : Number(value);
}

const changed = (before: Uint8Array, after: Uint8Array, from: number, to: number): boolean => {
  for (let i = from; i < to; i++) if (before[i] !== after[i]) return true;
  return false;
};

/** A whole struct at `at`, as nested buffers are printed. */
function printStruct(struct: TraceStruct, bytes: Uint8Array, at: number, path: string, namer: Namer): Json {
  const out: Record<string, Json> = {};
  for (const field of struct.fields) {
    const value = readNumber(bytes, at + field.offset, field.size);
    out[field.name] = printed(field, value, namer(`${path}.${field.name}`, field, value));
  }
  return out;
}

/** A buffer's contents in its own form; arrays are cut after their last changed element. */
function printForm(form: Form, before: Uint8Array, after: Uint8Array, path: string, namer: Namer): Json {
  if (form.kind === 'bytes') return { hex: hexOf(after) };
  if (form.kind === 'struct') return printStruct(form.struct, after, 0, path, namer);
  const { element } = form;
  let count = 0;
  for (let i = 0; (i + 1) * element.size <= after.length; i++)
    if (changed(before, after, i * element.size, (i + 1) * element.size)) count = i + 1;
  return Array.from({ length: count }, (_, i) => printStruct(element, after, i * element.size, path, namer));
}

/** `out` of a step; undefined when there is nothing to say. */
export function outputs(argument: Argument, succeeded: boolean, namer: Namer): Record<string, Json> | undefined {
  const out: Record<string, Json> = {};
  const { struct, buffers } = argument;
  if (struct && buffers[0]) Object.assign(out, structOutputs(argument, struct, buffers[0], succeeded, namer));
  for (const { name, form, segment, before } of buffers.slice(struct ? 1 : 0)) {
    const after = segment.bytes.subarray(0, before.length);
    if (changed(before, after, 0, before.length)) out[name] = printForm(form, before, after, name, namer);
  }
  return Object.keys(out).length > 0 ? out : undefined;
}

function structOutputs(
  argument: Argument,
  struct: TraceStruct,
  { segment, before }: Buffer,
  succeeded: boolean,
  namer: Namer,
): Record<string, Json> {
  const after = segment.bytes.subarray(0, before.length);
  const out: Record<string, Json> = {};
  for (const field of struct.fields) {
    if (field.offset + field.size > before.length) continue;
    const shown = succeeded && field.output;
    if (!shown && !changed(before, after, field.offset, field.offset + field.size)) continue;
    const value = readNumber(after, field.offset, field.size);
    out[field.name] = printed(field, value, namer(field.name, field, value));
  }
  if (!argument.tail || !changed(before, after, struct.size, before.length)) return out;
  const chain = succeeded ? capabilityChain(struct.name, after) : undefined;
  if (chain?.length) out['caps'] = chain;
  else if (!chain) {
    const [was, is] = [before.subarray(struct.size), after.subarray(struct.size)];
    out['tail'] = printForm(argument.tail, was, is, 'tail', namer);
  }
  return out;
}

/** Bound variables first, then those that the step was given. */
export function namerOf(
  bind: ReadonlyMap<string, string>,
  inputs: readonly string[],
  variables: Variables,
  bindNow: boolean,
): Namer {
  return (path, field, value) => {
    if (field.kind === 'number') return undefined;
    const bound = bind.get(path);
    if (bound !== undefined && bindNow) return `$${bound}`;
    if (field.kind === 'fd') return undefined;
    const input = inputs.find((name) => variables.get(name) === value);
    return input === undefined ? undefined : `$${input}`;
  };
}
