/**
 * The ioctl step.
 *
 * Rule: the request goes to whatever file the fd is; nothing is decided here but the layout of its argument.
 */
import { toPowerpc } from '@vfiolab/uapi';
import { structNamed } from '../structs.js';
import { requestNamed, type TraceField, type TraceRequest, type TraceStruct } from '../structs.js';
import { type Argument, plainArgument, structArgument } from '../argument.js';
import { namerOf, outputs, readNumber } from '../outputs.js';
import { done, failure, type Outcome } from '../outcome.js';
import type { Json, JsonObject, Step } from '../trace.js';
import { BadValue, type Variables } from '../values.js';
import { type StepContext, textOf } from './context.js';

/** Requests whose argument is a text. */
const TEXT_REQUESTS: ReadonlySet<string> = new Set(['VFIO_GROUP_GET_DEVICE_FD']);

function argumentOf(request: TraceRequest, step: Step, variables: Variables): Argument {
  if (step['arg'] !== undefined || !request.struct || step['in'] === undefined)
    return plainArgument(step['arg'], variables, TEXT_REQUESTS.has(textOf(step, 'req')));
  return structArgument({ ...request, struct: request.struct }, step, variables);
}

export async function runIoctl({ step, task }: StepContext): Promise<Outcome> {
  const req = textOf(step, 'req');
  const request = requestNamed(req);
  if (!request) throw new BadValue(`req: ${JSON.stringify(req)} is no ioctl`);
  const { variables } = task;
  const argument = argumentOf(request, step, variables);
  const fd = variables.small(step['fd']);
  const segments = argument.buffers.map((buffer) => buffer.segment);
  const number = task.process.powerpc ? toPowerpc(request.number) : request.number;
  const { ret, errno } = await task.process.ioctlAt(fd, number, argument.arg, segments);
  const succeeded = errno === undefined;
  const bind = new Map(Object.entries((step['bind'] ?? {}) as Record<string, string>));
  const vars = succeeded ? bindVariables(bind, argument, variables) : undefined;
  const out = outputs(argument, succeeded, namerOf(bind, argument.inputs, variables, succeeded));
  const more = { ...(vars && { vars }), ...(out && { out }) };
  if (!succeeded) return failure(errno, more);
  const as = step['as'];
  if (typeof as !== 'string') return done(ret, more);
  variables.set(as, BigInt(ret));
  return done(`$${as}`, more);
}

/** Sets the variables of `bind` and answers those that are shown: numbers, but not fds. */
function bindVariables(
  bind: ReadonlyMap<string, string>,
  argument: Argument,
  variables: Variables,
): JsonObject | undefined {
  const shown: Record<string, Json> = {};
  for (const [path, name] of bind) {
    const { field, bytes } = fieldAt(argument, path);
    const value = readNumber(bytes, field.offset, field.size);
    variables.set(name, value);
    if (field.kind !== 'fd') shown[name] = value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
  }
  return Object.keys(shown).length > 0 ? shown : undefined;
}

/** `field`, `pointer.field` or `tail.field`. */
function fieldAt(argument: Argument, path: string): { field: TraceField; bytes: Uint8Array } {
  const [first, second] = path.split('.', 2) as [string, string?];
  const head = argument.buffers[0];
  if (!argument.struct || !head) throw new BadValue(`bind: ${path}: the call has no struct`);
  if (second === undefined) return { field: fieldOf(argument.struct, first), bytes: head.segment.bytes };
  if (first === 'tail' && argument.tail?.kind === 'struct') {
    const bytes = head.segment.bytes.subarray(argument.struct.size);
    return { field: fieldOf(argument.tail.struct, second), bytes };
  }
  const buffer = argument.buffers.find(({ name }) => name === first);
  if (buffer?.form.kind !== 'struct') throw new BadValue(`bind: ${path}: there is no such buffer`);
  return { field: fieldOf(buffer.form.struct, second), bytes: buffer.segment.bytes };
}

function fieldOf(struct: TraceStruct, name: string): TraceField {
  const field = (structNamed(struct.name) ?? struct).fields.find((each) => each.name === name);
  if (!field) throw new BadValue(`bind: ${struct.name} has no field ${name}`);
  return field;
}
