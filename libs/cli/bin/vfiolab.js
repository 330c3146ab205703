#!/usr/bin/env node
// Starts the built command line; says what to do when it has not been built.
import { existsSync } from 'node:fs';

const built = new URL('../dist/main.js', import.meta.url);
if (existsSync(built)) {
  const { start } = await import(built.href);
  await start();
} else {
  console.error(
    'vfiolab has not been built yet. Run `npm ci && npm run build` in the root of the repository, then try again.',
  );
  process.exitCode = 1;
}
