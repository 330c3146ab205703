/**
 * Module hooks: TypeScript sources run as they are, but for the one mistake that VFIOLAB_MUTANT names.
 */
import { register } from 'node:module';
import { mutants, mutate, sourceOf } from './mutants.mjs';

const registered = process.env.VFIOLAB_TS_HOOKS === '1';
process.env.VFIOLAB_TS_HOOKS = '1';
const { resolve, load: loadAsIs, compiled } = await import('../../libs/shell/src/testing/run-ts.mjs');
if (!registered) register(import.meta.url);
const mutant = mutants.find(({ name }) => name === process.env.VFIOLAB_MUTANT);

export { resolve };
export function load(url, context, next) {
  if (mutant && url === sourceOf(mutant).href) return compiled(url, mutate(mutant));
  return loadAsIs(url, context, next);
}
