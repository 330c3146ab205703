/**
 * Runs TypeScript sources in a child process of a test: `node --import <this file> program.ts`. No build is needed first.
 *
 * Rule: the same sources as in the test itself: `@vfiolab/<name>` is `libs/<name>/src`, and `./x.js` is `./x.ts` where
 * that exists.
 */
import { existsSync, readFileSync } from 'node:fs';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { transformSync } from '@swc/core';

const LIBS = new URL('../../../', import.meta.url);

export function resolve(specifier, context, next) {
  const lib = /^@vfiolab\/([a-z-]+)$/.exec(specifier);
  if (lib) return { url: new URL(`${lib[1]}/src/index.ts`, LIBS).href, shortCircuit: true };
  if (specifier.startsWith('.') && specifier.endsWith('.js') && context.parentURL?.endsWith('.ts')) {
    const source = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL);
    if (existsSync(source)) return { url: source.href, shortCircuit: true };
  }
  return next(specifier, context);
}

export function load(url, context, next) {
  if (!url.endsWith('.ts')) return next(url, context);
  return compiled(url, readFileSync(fileURLToPath(url), 'utf8'));
}

/** The module at a URL as if this were its source. */
export function compiled(url, source) {
  const { code } = transformSync(source, {
    filename: fileURLToPath(url),
    sourceMaps: 'inline',
    jsc: {
      target: 'es2022',
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: false },
    },
    module: { type: 'es6' },
  });
  return { format: 'module', source: code, shortCircuit: true };
}

// This file is both what registers the hooks and the hooks themselves; the second copy runs in the hooks' thread.
if (!process.env.VFIOLAB_TS_HOOKS) {
  process.env.VFIOLAB_TS_HOOKS = '1';
  register(import.meta.url);
}
