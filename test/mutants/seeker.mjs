/** Looks for one planted mistake by one hunt, in a process of its own. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** `name`: of the mutant, '' for none; `range`: what seek.ts takes. Answers what that says; throws when it did not run. */
export function seek(name, ...range) {
  const args = ['--no-warnings', '--import', './test/mutants/hooks.mjs', 'test/mutants/seek.ts', ...range];
  const env = { ...process.env, VFIOLAB_MUTANT: name, VFIOLAB_TS_HOOKS: '' };
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd, env, encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}
