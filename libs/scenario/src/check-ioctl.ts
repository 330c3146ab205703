/**
 * What the schema cannot say about an ioctl: its name, and the fields of its struct.
 *
 * Rule: a value that the struct cannot hold is refused here: a C assignment would cut it off without a word.
 */
import { type AnyIoctlDef, type AnyStruct, ioctlsByName } from '@vfiolab/uapi';
import type { ActionArgs, Buffer, FieldValue, Num } from './scenario.js';
import type { Path } from './source.js';
import { type FieldKind, kindOf, pointeeOf } from './struct-values.js';
import { parseLiteral } from './values.js';
import { quoted, suggestion } from './words.js';

/** Takes one problem. `key`: it lies at the key, not at its value. */
export type Report = (path: Path, what: string, hint: string, key?: boolean) => void;
export type GivenFields = Readonly<Record<string, FieldValue>>;
type Compound = Exclude<FieldValue, Num>;

const isList = (raw: Compound): raw is Exclude<Compound, Buffer> => Array.isArray(raw);

/** The struct of an ioctl; undefined when the name is unknown or there is none. */
export function structOf({ name }: ActionArgs['ioctl']): AnyStruct | undefined {
  const def: AnyIoctlDef | undefined = ioctlsByName.get(name);
  return def?.kind === 'struct' ? def.struct : undefined;
}

export function checkIoctl(args: ActionArgs['ioctl'], path: Path, report: Report): void {
  const { name, in: fields = {}, tail, arg } = args;
  const def = ioctlsByName.get(name);
  const at = [...path, 'name'];
  if (!def) return report(at, `there is no ioctl ${quoted(name)}`, suggestion(name, [...ioctlsByName.keys()]));
  if (def.kind === 'struct' && arg !== undefined)
    return report([...path, 'arg'], `${name} takes a struct`, 'Give its fields with `in`.');
  if (def.kind === 'struct') return checkFields(fields, def.struct, [...path, 'in'], report);
  if (Object.keys(fields).length > 0 || tail)
    return report(path, `${name} takes no struct`, 'Leave `in` and `tail` out.');
  if (def.arg === 'none' && arg !== undefined)
    return report([...path, 'arg'], `${name} takes no argument`, 'Leave `arg` out.');
  if (def.arg !== 'none' && arg === undefined)
    return report(path, `${name} takes ${def.arg === 'string' ? 'a text' : 'a number'}`, 'Give it with `arg`.');
}

/** Every name is a field of the struct, and every value one that it can hold. */
export function checkFields(fields: GivenFields, struct: AnyStruct, path: Path, report: Report): void {
  for (const [name, raw] of Object.entries(fields)) {
    const at = [...path, name];
    const field = struct.fields[name];
    if (!field)
      report(
        at,
        `struct ${struct.name} has no field ${quoted(name)}`,
        suggestion(name, Object.keys(struct.fields)),
        true,
      );
    else if (typeof raw === 'object') checkCompound(name, raw, kindOf(field), at, report);
    else checkNumber(name, raw, kindOf(field), field.size, at, report);
  }
}

const NOT_A_NUMBER: Partial<Record<FieldKind, string>> = {
  struct: 'cannot be set in a scenario.',
  bytes: 'takes a buffer.',
  numbers: 'takes a list.',
  u64s: 'takes a list.',
};

function checkNumber(name: string, raw: Num, kind: FieldKind, bytes: number, path: Path, report: Report): void {
  const other = NOT_A_NUMBER[kind];
  if (other !== undefined) return report(path, 'a number cannot stand here', `${name} ${other}`);
  const value = typeof raw === 'number' ? BigInt(raw) : parseLiteral(raw);
  const bits = BigInt(8 * bytes);
  if (value !== undefined && (value >= 1n << bits || value < -(1n << (bits - 1n))))
    report(path, `${String(raw)} does not fit into ${name}`, `The field has ${bits} bits.`);
}

function checkCompound(name: string, raw: Compound, kind: FieldKind, path: Path, report: Report): void {
  if (!isList(raw)) {
    if (kind !== 'u64' && kind !== 'bytes')
      report(path, 'a buffer cannot stand here', `${name} is no pointer: give a number.`);
    return;
  }
  const pointee = kind === 'u64' ? pointeeOf(name) : undefined;
  const structs = raw.filter((each) => typeof each === 'object');
  if (structs.length > 0 && (!pointee || structs.length < raw.length))
    return report(
      path,
      'structs cannot stand here',
      `${name} takes ${pointee ? 'structs only' : 'no structs: give a buffer'}.`,
    );
  if (structs.length === 0 && raw.length > 0 && kind !== 'numbers' && kind !== 'u64s')
    return report(path, 'a list of numbers cannot stand here', `${name} is no array.`);
  if (pointee) structs.forEach((each, i) => checkFields(each as GivenFields, pointee, [...path, i], report));
}
