/** Traces in other environments than the one for many: a lab in this process, and a lab that is not well. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '@vfiolab/scenario';
import { startEmbedded } from '@vfiolab/testbed';
import { readTraceFile } from './collect.js';
import { CONFORMANCE_FOLDER } from './machines.js';
import { inWords } from './report.js';
import { runTrace } from './run-trace.js';
import { bootFor, makeHost } from './trace-host.js';

const [trace] = readTraceFile(join(CONFORMANCE_FOLDER, 'traces/6.12/B-type1/b013-cdev-attach-detach.jsonl'));

describe('a live lab', () => {
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'vfiolab-conformance-'))));
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it('answers as the simulated one', async () => {
    const env = await startEmbedded({ dir: join(dir, 'run'), durability: 'none', record: false });
    try {
      await makeHost(trace!, env);
      const report = await runTrace(trace!, env);
      expect(report.mismatches.map(inWords)).toEqual([]);
    } finally {
      expect((await env.end()).broken).toEqual([]);
    }
  });
});

describe('the end of a program', () => {
  /** An environment whose services say something else of themselves once the program is over. */
  const changed = (
    env: Environment,
    more: (calls: number) => { broken?: string[]; figures?: Record<string, number> },
  ) => {
    let calls = 0;
    const inspect = async (address: string) => {
      const seen = await env.inspect(address);
      const { broken = [], figures = {} } = address === 'pages' ? more(calls++) : {};
      return { ...seen, broken: [...seen.broken, ...broken], figures: { ...seen.figures, ...figures } };
    };
    return Object.assign(Object.create(env) as Environment, { inspect });
  };

  it('an invariant that does not hold is a mismatch', async () => {
    const host = await bootFor(trace!);
    const env = changed(host.env, () => ({ broken: ['I05: two owners'] }));
    const { mismatches, stepsMatched } = await host.run(runTrace(trace!, env));
    expect(stepsMatched).toBe(trace!.steps.length);
    expect(mismatches).toMatchObject([
      { step: 'end', field: 'invariant', got: 'I05: two owners', words: 'state of pages' },
    ]);
  });

  it('what is left of it is a mismatch', async () => {
    const host = await bootFor(trace!);
    const env = changed(host.env, (calls) => ({ figures: { pins: calls === 0 ? 0 : 3 } }));
    const { mismatches } = await host.run(runTrace(trace!, env));
    expect(mismatches).toMatchObject([{ step: 'end', field: 'left', expected: 0, got: 3, words: 'pages.pins' }]);
  });
});
