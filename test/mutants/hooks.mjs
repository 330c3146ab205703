/**
 * Module hooks: TypeScript sources run as they are, but for the one mistake that VFIOLAB_MUTANT names.
 *
 * Rule: an edit that does not fit its file any more is an error, not a run without a mistake.
 */
import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { mutants } from './mutants.mjs';

const ROOT = new URL('../../', import.meta.url);

/** A file's text with the mutant in it. */
export function mutate({ name, file, edits }) {
  let text = readFileSync(new URL(file, ROOT), 'utf8');
  for (const [from, to] of edits) {
    const pieces = text.split(from);
    if (pieces.length !== 2)
      throw new Error(`mutant ${name}: ${JSON.stringify(from)} is ${pieces.length - 1} times in ${file}, not once`);
    text = pieces.join(to);
  }
  return text;
}

const registered = process.env.VFIOLAB_TS_HOOKS === '1';
process.env.VFIOLAB_TS_HOOKS = '1';
const { resolve, load: loadAsIs, compiled } = await import('../../libs/shell/src/testing/run-ts.mjs');
if (!registered) register(import.meta.url);
const mutant = mutants.find(({ name }) => name === process.env.VFIOLAB_MUTANT);

export { resolve };
export function load(url, context, next) {
  if (mutant && fileURLToPath(new URL(mutant.file, ROOT)) === (url.startsWith('file:') ? fileURLToPath(url) : ''))
    return compiled(url, mutate(mutant));
  return loadAsIs(url, context, next);
}
