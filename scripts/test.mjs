// Runs lint and all tests; the last line is `N passed, N failed`. Further arguments go to Jest.
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const out = mkdtempSync(join(tmpdir(), 'vfiolab-test-'));
const results = join(out, 'results.json');

/** Resolves when the program has ended: did it end well? Its output is shown then, so that outputs do not mix. */
function node(args) {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => said.push(chunk));
  return new Promise((resolve) =>
    child.on('close', (code) => {
      process.stdout.write(Buffer.concat(said));
      resolve(code === 0);
    }),
  );
}

/** Beside the tests, which wait for processes now and then. */
async function checks() {
  const sources = ['libs', 'services'].flatMap((d) => readdirSync(join(root, d)).map((n) => `${d}/${n}/src`));
  const cruise = 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs';
  return {
    eslint: await node(['node_modules/eslint/bin/eslint.js', '.', '--max-warnings', '0']),
    'import direction': await node([cruise, '--config', '.dependency-cruiser.cjs', ...sources]),
    prettier: await node(['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.']),
  };
}

const tests = spawn(
  process.execPath,
  [
    '--no-warnings',
    '--experimental-vm-modules',
    'node_modules/jest/bin/jest.js',
    // Jest leaves a processor free by itself; a worker that has grown is replaced by a fresh one.
    '--maxWorkers=100%',
    '--workerIdleMemoryLimit=1500MB',
    '--json',
    `--outputFile=${results}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: 'inherit' },
);
const [checked, tested] = await Promise.all([
  checks(),
  new Promise((resolve) => tests.on('close', (code) => resolve(code === 0))),
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
for (const [name, ok] of Object.entries(checked)) {
  if (ok) passed++;
  else failed++;
  console.log(`${name}: ${ok ? 'ok' : 'FAILED'}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(tested && failed === 0 ? 0 : 1);
