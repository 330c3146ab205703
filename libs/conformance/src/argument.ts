/**
 * The argument of an ioctl as a program lays it out: a struct, what follows it, and the buffers that it points at.
 *
 * Words: a *buffer* is memory of the program for this one call; each has its place in the list, which names it in results
 * (`aux1`), and ends, rounded up to 8 bytes, where nothing is mapped.
 * Rule: what is written here is what the trace says, however wrong; lengths default to what was laid out.
 */
import { SCRATCH } from '@vfiolab/client';
import type { Segment } from '@vfiolab/core';
import { structNamed, type TraceField, type TraceRequest, type TraceStruct } from './structs.js';
import type { Json, JsonObject } from './trace.js';
import { BadValue, bytesOf, nameIn, unsigned, type Variables } from './values.js';

/** Buffers end this far apart: running over an end never reaches the next. */
const STRIDE = 0x1000_0000;
const FIRST_END = SCRATCH + STRIDE;
/** Bytes of one buffer. */
export const MAX_BUFFER = 1 << 20;

/** What a buffer holds, and so how it is printed. */
export type Form =
  | { readonly kind: 'bytes' }
  | { readonly kind: 'struct'; readonly struct: TraceStruct }
  | { readonly kind: 'array'; readonly element: TraceStruct };

export interface Buffer {
  /** Where its result goes: a pointer field's name, or `auxN`. */
  readonly name: string;
  readonly form: Form;
  readonly segment: Segment;
  /** Bytes before the call. */
  readonly before: Uint8Array;
}

export interface Argument {
  readonly arg: number;
  /** The struct with its tail is the first, when there is one. */
  readonly buffers: readonly Buffer[];
  readonly struct: TraceStruct | undefined;
  readonly tail: Form | undefined;
  /** Variables that the struct's fields were given by. */
  readonly inputs: readonly string[];
}

const OBJECT_KEYS: ReadonlySet<string> = new Set(['zero', 'hex', 'array', 'items', 'cap', 'struct']);
const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Lays out one argument. */
class Layout {
  readonly buffers: Buffer[] = [];
  readonly inputs: string[] = [];

  constructor(private readonly variables: Variables) {}

  /** Reserves the next place, so that places count in the order in which buffers are met. */
  place(name: (index: number) => string, form: Form, length: number, fill: (bytes: Uint8Array) => void): number {
    if (length > MAX_BUFFER) throw new BadValue(`a buffer of ${length} bytes; ${MAX_BUFFER} is the most`);
    const index = this.buffers.length;
    const bytes = new Uint8Array(Math.ceil(length / 8) * 8);
    const va = FIRST_END + index * STRIDE - bytes.length;
    const before = new Uint8Array(length);
    this.buffers.push({ name: name(index), form, segment: { va, writable: true, bytes }, before });
    fill(bytes.subarray(0, length));
    before.set(bytes.subarray(0, length));
    return va;
  }

  /** A form such as `{"zero": 8}` as a buffer of its own; answers its address. */
  buffer(name: (index: number) => string, form: JsonObject): number {
    const { form: kind, length } = measure(form);
    return this.place(name, kind, length, (bytes) => this.fillForm(form, bytes));
  }

  fillForm(form: JsonObject, bytes: Uint8Array): void {
    if ('hex' in form) return bytes.set(bytesOf(form['hex']));
    if ('struct' in form) return this.fillFields(namedStruct(form['struct']), form, bytes, 0, (index) => `aux${index}`);
    const items = form['items'];
    if (!Array.isArray(items)) return;
    const element = namedStruct(form['array']);
    items.forEach((item: Json, i) => {
      const fields = isObject(item) ? item : { value: item };
      this.fillFields(element, fields, bytes, i * element.size, (index) => `aux${index}`);
    });
  }

  fillFields(
    struct: TraceStruct,
    values: JsonObject,
    bytes: Uint8Array,
    at: number,
    nameOf: (index: number, field: string) => string,
  ): void {
    for (const [name, value] of Object.entries(values)) {
      if (OBJECT_KEYS.has(name) && !struct.fields.some((field) => field.name === name)) continue;
      const places = fieldsNamed(struct, name);
      const list = Array.isArray(value) ? (value as readonly Json[]) : [value];
      list.forEach((each: Json, i) => {
        const field = places[i];
        if (!field) throw new BadValue(`${struct.name}.${name} has ${places.length} elements`);
        putNumber(
          bytes,
          at + field.offset,
          field.size,
          this.valueOf(each, (index) => nameOf(index, name)),
        );
      });
    }
  }

  private valueOf(value: Json, nameOf: (index: number) => string): bigint {
    if (isObject(value)) return BigInt(this.buffer(nameOf, value));
    const name = nameIn(value);
    if (name !== undefined) this.inputs.push(name);
    return this.variables.number(value);
  }
}

function namedStruct(name: Json | undefined): TraceStruct {
  const struct = typeof name === 'string' ? structNamed(name) : undefined;
  if (!struct) throw new BadValue(`there is no struct ${JSON.stringify(name)}`);
  return struct;
}

function fieldsNamed(struct: TraceStruct, name: string): TraceField[] {
  const found = struct.fields.filter((field) => field.name === name || field.name.startsWith(`${name}[`));
  if (found.length === 0) throw new BadValue(`${struct.name} has no field ${name}`);
  return found;
}

/** Puts the low bytes of a number at `at`, as far as there is room. */
function putNumber(bytes: Uint8Array, at: number, size: number, value: bigint): void {
  for (let i = 0; i < size && at + i < bytes.length; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 0xffn);
}

/** What a form is, and how many bytes it takes. */
export function measure(form: JsonObject): { form: Form; length: number } {
  if ('hex' in form) return { form: { kind: 'bytes' }, length: bytesOf(form['hex']).length };
  if ('zero' in form) return { form: { kind: 'bytes' }, length: Number(form['zero']) };
  if ('struct' in form) {
    const struct = namedStruct(form['struct']);
    return { form: { kind: 'struct', struct }, length: struct.size };
  }
  const element = namedStruct(form['array']);
  const items = Array.isArray(form['items']) ? form['items'].length : 0;
  const count = Math.max(items, Number(form['cap'] ?? 0));
  return { form: { kind: 'array', element }, length: count * element.size };
}

/** The argument of a step with `in`, or with a struct and nothing given. */
export function structArgument(
  request: TraceRequest & { readonly struct: TraceStruct },
  step: JsonObject,
  variables: Variables,
): Argument {
  const layout = new Layout(variables);
  const { struct } = request;
  const tailForm = isObject(step['tail']) ? step['tail'] : undefined;
  const tail = tailForm && measure(tailForm);
  const whole = struct.size + (tail?.length ?? 0);
  const length = step['buflen'] === undefined ? whole : Number(step['buflen']);
  const given = isObject(step['in']) ? step['in'] : {};
  const sizeField = struct.fields.find(({ name }) => name === 'size' || name === 'argsz');
  const defaults: JsonObject = {
    ...(sizeField?.offset === 0 && { [sizeField.name]: whole }),
    ...(request.op !== undefined && { op: request.op }),
  };
  const fill = (bytes: Uint8Array): void => {
    layout.fillFields(struct, { ...defaults, ...given }, bytes, 0, (_index, field) => field);
    if (tailForm) layout.fillForm(tailForm, bytes.subarray(struct.size));
  };
  const arg = layout.place(() => '', { kind: 'struct', struct }, length, fill);
  return { arg, buffers: layout.buffers, struct, tail: tail?.form, inputs: layout.inputs };
}

/** The argument of a step with `arg`: a number, an address, a text, or a buffer. Without: 0. */
export function plainArgument(arg: Json | undefined, variables: Variables, text: boolean): Argument {
  const layout = new Layout(variables);
  const address = isObject(arg)
    ? layout.buffer((index) => `aux${index}`, arg)
    : text && typeof arg === 'string' && !arg.startsWith('$') && !arg.startsWith('0x')
      ? stringBuffer(layout, arg)
      : arg === undefined
        ? 0
        : unsigned(variables.number(arg));
  return { arg: address, buffers: layout.buffers, struct: undefined, tail: undefined, inputs: [] };
}

const stringBuffer = (layout: Layout, text: string): number => {
  const bytes = new TextEncoder().encode(`${text}\0`);
  return layout.place(
    (index) => `aux${index}`,
    { kind: 'bytes' },
    bytes.length,
    (into) => into.set(bytes),
  );
};
