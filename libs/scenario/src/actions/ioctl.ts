/**
 * The ioctl action: any ioctl of the kernel's interface, its struct given by field names.
 *
 * Rule: what changed is what is shown: of the struct after the call, only fields that the kernel has written.
 */
import type { Process } from '@vfiolab/client';
import { type AnyIoctlDef, type Errno, type IoctlDef, ioctlsByName, type PlainIoctlDef } from '@vfiolab/uapi';
import { type Action, type Answer, type Call, type Fact, type Facts, failure, success } from './action.js';
import type { ActionArgs, Num } from '../scenario.js';
import {
  MAX_BUFFER,
  bufferBytes,
  factInWords,
  factOf,
  fieldValues,
  givenInWords,
  type GivenFields,
} from '../struct-values.js';
import { evaluate } from '../values.js';
import { quoted } from '../words.js';

type IoctlArgs = ActionArgs['ioctl'];

/** Checked when the file was read. */
const definitionOf = (name: string): AnyIoctlDef => ioctlsByName.get(name)!;

function words(call: Call, { fd, name, in: fields = {}, tail, arg }: IoctlArgs): string {
  const def = definitionOf(name);
  const head = `ioctl(${call.file(fd)}, ${name}`;
  if (def.kind === 'plain') return `${head}${arg === undefined ? '' : `, ${plainInWords(call, def, arg)}`})`;
  const given = fieldValues(def, fields, call.variables);
  const shown = Object.entries(fields).map(([key, raw]) => `${key}=${givenInWords(key, raw, given[key], `${name}_`)}`);
  if (tail) shown.push(`tail=${tailInWords(call, tail)}`);
  return `${head}, {${shown.join(', ')}})`;
}

function plainInWords(call: Call, def: PlainIoctlDef, arg: Num): string {
  if (def.arg === 'string') return quoted(String(arg));
  return def.argIsFd ? call.file(arg) : String(evaluate(arg, call.variables));
}

/** The text as it stands; numbers and variables as their value. */
const plainValue = (call: Call, def: PlainIoctlDef, arg: Num): [string | number] =>
  def.arg === 'string' ? [String(arg)] : [Number(evaluate(arg, call.variables))];

function tailInWords(call: Call, tail: NonNullable<IoctlArgs['tail']>): string {
  if (tail.s32) return `[${tail.s32.map((each) => call.file(each)).join(', ')}]`;
  return factInWords('tail', bufferBytes(tail, undefined, call.variables));
}

async function run(call: Call, { fd, name, in: fields = {}, tail, room, arg }: IoctlArgs): Promise<Answer> {
  const def = definitionOf(name);
  if (def.kind === 'plain') {
    // What it takes was checked against this very definition; its type is only known by name here.
    const given = (arg === undefined ? [] : plainValue(call, def, arg)) as [];
    const { ret, errno } = await call.process.ioctlPlain(call.fd(fd), def as PlainIoctlDef<string, 'none'>, ...given);
    return answer(call.process, call, def.arg === 'string' ? String(arg) : name, ret, errno, {}, {});
  }
  const given = fieldValues(def, fields, call.variables);
  const before = copyOf(given);
  const options = {
    ...(tail && { tail: bufferBytes(tail, undefined, call.variables) }),
    ...(room !== undefined && { room: call.int(room, MAX_BUFFER) }),
  };
  // The fields were checked against this very definition; its type is only known by name here.
  const after = await call.process.ioctl(call.fd(fd), def as IoctlDef, given as never, options);
  const facts = factsOf(after.out as Record<string, unknown>, given);
  return answer(
    call.process,
    call,
    name,
    after.ret,
    after.errno,
    facts,
    changed(facts, factsOf(zeroed(after.out, before), before)),
  );
}

/** Buffers are written in place, so what they held must be kept to see a change. */
const copyOf = (given: GivenFields): GivenFields =>
  Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, value instanceof Uint8Array ? value.slice() : value]),
  );

/** The struct as it was passed: given fields, the others zero. */
const zeroed = (out: object, given: GivenFields): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(out).map(([name, value]) => [
      name,
      name in given && !(given[name] instanceof Uint8Array) ? given[name] : zeroOf(value),
    ]),
  );

const zeroOf = (value: unknown): unknown => (typeof value === 'bigint' ? 0n : typeof value === 'number' ? 0 : value);

const factsOf = (out: Readonly<Record<string, unknown>>, given: GivenFields): Facts =>
  Object.fromEntries(Object.entries(out).map(([name, value]) => [name, factOf(name, value, given[name])]));

/** The size that the client fills in is no news. */
const SIZES: ReadonlySet<string> = new Set(['size', 'argsz']);

function changed(after: Facts, before: Facts): Facts {
  const differs = ([name, fact]: [string, Fact]): boolean =>
    factInWords(name, fact) !== factInWords(name, before[name]!);
  return Object.fromEntries(
    Object.entries(after)
      .filter(([name]) => !SIZES.has(name))
      .filter(differs),
  );
}

function answer(
  process: Process,
  call: Call,
  name: string,
  ret: number,
  errno: Errno | undefined,
  out: Facts,
  news: Facts,
): Answer {
  const more = Object.keys(news).length === 0 ? '' : ` ${factInWords('', news)}`;
  const facts = { ret: BigInt(ret), out };
  if (errno !== undefined) return failure(errno, facts, more);
  if (call.step.as !== undefined) call.files.set(process, ret, name);
  return success(`${ret}${more}`, facts, BigInt(ret));
}

export const ioctlAction: Action<'ioctl'> = { facts: ['ret', 'out'], named: true, calls: true, words, run };
