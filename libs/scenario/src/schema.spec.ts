/** The published schema and the code must say the same. */
import { FAULT_PARAMETERS, faultNames } from '@vfiolab/core';
import { actionNames, actionOf } from './actions/index.js';
import { readSchema } from './schema.js';

type Node = { readonly [key: string]: Node } & {
  readonly description?: string;
  readonly required?: string[];
  readonly oneOf?: Node[];
};
const schema = readSchema() as unknown as Node;
const step = schema['$defs']!['step']!;
const stepKeys = Object.keys(step['properties']!);
const companions = ['process', 'say', 'means', 'as', 'bind', 'crash', 'expect'];

test('every action of the schema has a runner, and every runner is in the schema', () => {
  expect(stepKeys.filter((key) => !companions.includes(key)).sort()).toEqual([...actionNames].sort());
  expect(step.oneOf!.flatMap((each) => each.required!).sort()).toEqual([...actionNames].sort());
});

test('every fact that an action answers may be expected, and every expectation is a fact of some action', () => {
  const implied = ['value', 'figures', 'invariants'];
  const facts = new Set(
    actionNames.flatMap((name) => [...actionOf(name).facts]).filter((fact) => !implied.includes(fact)),
  );
  const expectations = Object.keys(schema['$defs']!['expect']!['properties']!).filter((key) => key !== 'errno');
  expect(expectations.sort()).toEqual([...facts].sort());
});

test('faults and their parameters are those that devices have', () => {
  const { kind, device: _, ...parameters } = step['properties']!['fault']!['properties']!;
  expect(kind!['enum']).toEqual(faultNames);
  expect(Object.keys(parameters)).toEqual(Object.keys(FAULT_PARAMETERS));
});

function undocumented(node: unknown, path: string): string[] {
  if (typeof node !== 'object' || node === null) return [];
  const found: string[] = [];
  for (const [name, each] of Object.entries((node as Node)['properties'] ?? {}))
    if (typeof each['description'] !== 'string' && typeof each['$ref'] !== 'string') found.push(`${path}.${name}`);
  return [...found, ...Object.entries(node).flatMap(([key, each]) => undocumented(each, `${path}.${key}`))];
}

function open(node: unknown, path: string): string[] {
  if (typeof node !== 'object' || node === null) return [];
  const own = 'properties' in node && (node as Node)['additionalProperties'] !== (false as unknown) ? [path] : [];
  return [...own, ...Object.entries(node).flatMap(([key, each]) => open(each, `${path}.${key}`))];
}

describe.each(['scenario', 'lab'] as const)('the schema of a %s file', (kind) => {
  test('every field has a description', () => expect(undocumented(readSchema(kind), '')).toEqual([]));
  test('no object takes keys that nobody knows', () => expect(open(readSchema(kind), '')).toEqual([]));
});
