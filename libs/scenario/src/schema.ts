/**
 * The published JSON Schema, and what a file breaks of it in words.
 *
 * Rule: one problem for one mistake: where the schema lists alternatives, the writer is told what may stand there, not
 * how each alternative failed.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { ErrorObject, ValidateFunction } from 'ajv/dist/2020.js';
import type { Problem } from './errors.js';
import type { Path, Source } from './source.js';
import { nearest, quoted, suggestion } from './words.js';

/** Kinds of files that have a schema. */
export type FileKind = 'scenario' | 'lab';

const schemaFile = (kind: FileKind): URL => new URL(`../schema/${kind}.schema.json`, import.meta.url);

interface Schema {
  readonly $defs: Readonly<
    Record<string, { readonly properties?: Readonly<Record<string, unknown>>; readonly description?: string }>
  >;
}

export const readSchema = (kind: FileKind = 'scenario'): Schema =>
  JSON.parse(readFileSync(schemaFile(kind), 'utf8')) as Schema;

/** `rules`: a text that holds rules of a fault plan and nothing else. */
type Validated = FileKind | 'rules';

const compiled = new Map<Validated, ValidateFunction>();

function validator(kind: Validated): ValidateFunction {
  const known = compiled.get(kind);
  if (known) return known;
  // ajv is CommonJS: its ESM default export differs between loaders, require() does not.
  const { Ajv2020 } = createRequire(import.meta.url)('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js');
  const ajv = new Ajv2020({
    allErrors: true,
    strict: true,
    strictRequired: false,
    allowUnionTypes: true,
    verbose: true,
  });
  // A lab file says of a host what a scenario says of one.
  if (kind === 'lab') ajv.addSchema(readSchema());
  const validate = ajv.compile(
    kind === 'rules' ? { $ref: '#/$defs/rules', $defs: readSchema().$defs } : readSchema(kind),
  );
  compiled.set(kind, validate);
  return validate;
}

/** Breaches of the schema in the order of the file; empty when there are none. */
export function schemaProblems(source: Source, kind: Validated = 'scenario'): Problem[] {
  const validate = validator(kind);
  if (validate(source.value)) return [];
  const problems = (validate.errors ?? []).flatMap((error) => inWords(error, validate.errors!, source));
  const seen = new Set<string>();
  return problems
    .filter((p) => !seen.has(`${p.path} ${p.what}`) && seen.add(`${p.path} ${p.what}`))
    .sort((a, b) => a.line - b.line || a.column - b.column);
}

const pathOf = (pointer: string): Path =>
  pointer
    .split('/')
    .slice(1)
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part.replaceAll('~1', '/').replaceAll('~0', '~')));

/** Is there an `anyOf` at this place or around it, which says it better? Of several, the outermost comes last. */
function isDetail(error: ErrorObject, all: readonly ErrorObject[]): boolean {
  const around = all.filter(
    ({ keyword, instancePath: at }) =>
      keyword === 'anyOf' && (error.instancePath === at || error.instancePath.startsWith(`${at}/`)),
  );
  const shortest = Math.min(...around.map((each) => each.instancePath.length));
  const outermost = around.findLast((each) => each.instancePath.length === shortest);
  return outermost !== undefined && error !== outermost;
}

/** Is what is missing there under a wrong name, or one of the actions, of which only one is needed? */
function isMistyped(error: ErrorObject, all: readonly ErrorObject[]): boolean {
  if (error.keyword !== 'required') return false;
  if (error.schemaPath.includes('/oneOf/')) return true;
  const missing = String(error.params['missingProperty']);
  return all.some(
    ({ keyword, instancePath, params }) =>
      keyword === 'additionalProperties' &&
      instancePath === error.instancePath &&
      nearest(String(params['additionalProperty']), [missing]) !== undefined,
  );
}

function inWords(error: ErrorObject, all: readonly ErrorObject[], source: Source): Problem[] {
  const path = pathOf(error.instancePath);
  const problem = (what: string, hint: string, at: Path = path, key = false): Problem[] => [
    source.problem(at, what, hint, key),
  ];
  if (error.keyword === 'oneOf') return actionCount(error, all, source, path);
  if (error.propertyName !== undefined || isDetail(error, all) || isMistyped(error, all)) return [];
  const { params } = error;
  const meaning = describe(error);
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(params['additionalProperty']);
      return problem(`unknown key ${quoted(name)}`, suggestion(name, keysAt(error)), [...path, name], true);
    }
    case 'required':
      return problem(`${String(params['missingProperty'])} is missing`, `It must be given here. ${meaning}`.trim());
    case 'enum':
      return problem(
        `${shown(error.data)} is not known here`,
        suggestion(String(error.data), (params['allowedValues'] as unknown[]).map(String)),
      );
    case 'const':
      return problem(`${shown(error.data)} is not known here`, `Write ${quoted(String(params['allowedValue']))}.`);
    case 'type':
      return problem(
        `${shown(error.data)} is no ${String(params['type'])}`,
        meaning || `Give a value of type ${String(params['type'])}.`,
      );
    case 'anyOf':
    case 'pattern':
      return problem(
        `${shown(error.data)} cannot stand here`,
        meaning || `It must match ${String(params['pattern'])}.`,
      );
    case 'propertyNames':
      return problem(
        `the name ${quoted(String(params['propertyName']))} cannot be used`,
        'Use small letters, digits and -, at most 31, a letter first.',
        [...path, String(params['propertyName'])],
        true,
      );
    default:
      return problem(
        `${shown(error.data)} ${error.message ?? 'is wrong'}`,
        meaning || 'See the schema for what is allowed.',
      );
  }
}

/** A step with no action, or with several. A mistyped action is reported as an unknown key already. */
function actionCount(error: ErrorObject, all: readonly ErrorObject[], source: Source, path: Path): Problem[] {
  const actions = (error.schema as { required: string[] }[]).flatMap((each) => each.required);
  const step = (error.data ?? {}) as Record<string, unknown>;
  const found = actions.filter((name) => name in step);
  const mistyped = all.some(
    (other) => other.keyword === 'additionalProperties' && other.instancePath === error.instancePath,
  );
  if (found.length === 0 && mistyped) return [];
  if (found.length > 1)
    return [
      source.problem(
        [...path, found[1]!],
        `the step has ${found.length} actions: ${found.join(', ')}`,
        'A step does one thing; make it several steps.',
        true,
      ),
    ];
  return [source.problem(path, 'the step has no action', `Give one of: ${actions.join(', ')}.`)];
}

/** Keys that the schema lists where an unknown one was found. */
const keysAt = (error: ErrorObject): string[] =>
  Object.keys((error.parentSchema as { properties?: object } | undefined)?.properties ?? {});

const describe = (error: ErrorObject): string =>
  error.keyword === 'required' ? '' : ((error.parentSchema as { description?: string } | undefined)?.description ?? '');

const shown = (value: unknown): string => {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
};
