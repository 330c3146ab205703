// Runs lint and all tests; the last line is `N passed, N failed`. Further arguments go to Jest.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = mkdtempSync(join(tmpdir(), 'vfiolab-test-'));
const results = join(out, 'results.json');
const node = (args) => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status === 0;

const lint = node(['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0']);
const sources = ['libs', 'services'].flatMap((d) => readdirSync(join(root, d)).map((n) => `${d}/${n}/src`));
const direction = node([
  'node_modules/dependency-cruiser/bin/dependency-cruise.mjs',
  '--config',
  '.dependency-cruiser.cjs',
  ...sources,
]);
const format = node(['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.']);
const tests = node([
  '--no-warnings',
  '--experimental-vm-modules',
  'node_modules/jest/bin/jest.js',
  // Jest leaves a processor free by itself; a worker that has grown is replaced by a fresh one.
  '--maxWorkers=100%',
  '--workerIdleMemoryLimit=1500MB',
  '--json',
  `--outputFile=${results}`,
  ...process.argv.slice(2),
]);

let passed = 0;
let failed = 1;
try {
  const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(readFileSync(results, 'utf8'));
  passed = numPassedTests;
  failed = numFailedTests + numRuntimeErrorTestSuites;
} finally {
  rmSync(out, { recursive: true, force: true });
}
for (const [name, ok] of Object.entries({ eslint: lint, 'import direction': direction, prettier: format })) {
  if (ok) passed++;
  else failed++;
  console.log(`${name}: ${ok ? 'ok' : 'FAILED'}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(tests && failed === 0 ? 0 : 1);
