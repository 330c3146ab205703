import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { atExit } from './at-exit.js';

const here = (name: string): string => fileURLToPath(new URL(`./testing/${name}`, import.meta.url));

test('however many there are, the process has one listener more', () => {
  const before = process.listenerCount('exit');
  const forget = Array.from({ length: 20 }, () => atExit(() => undefined));
  expect(process.listenerCount('exit')).toBe(before + 1);
  for (const each of forget) each();
});

test.each([
  ['exit', 0],
  ['SIGHUP', 129],
  ['SIGINT', 130],
  ['SIGTERM', 143],
])(
  'a process that ends by %s ends all but what was forgotten, and draws no warning',
  (how, code) => {
    const args = ['--import', here('run-ts.mjs'), here('exiting-process.ts'), how];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const ended = Array.from({ length: 20 }, (_, i) => `ended ${i}\n`).filter((_, i) => i !== 7);
    expect(stdout).toBe(ended.join(''));
    expect(stderr).not.toContain('MaxListeners');
    expect(status).toBe(code);
  },
  30_000,
);
