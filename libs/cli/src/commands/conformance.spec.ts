import { fileURLToPath } from 'node:url';
import { FAILED, OK, parse, UsageError } from '../command.js';
import { fakeEngine } from '../testing/fake-engine.js';
import { FakeTerminal } from '../testing/fake-terminal.js';
import { conformance } from './conformance.js';

const TRACES = fileURLToPath(new URL('../../../../test/conformance/traces', import.meta.url));

async function run(...argv: string[]) {
  const terminal = new FakeTerminal();
  const input = parse(conformance, [...argv, '--threads', '0']);
  const code = await conformance.run(input, { terminal, engine: fakeEngine(), json: input.given('json') });
  return { code, out: terminal.written.out };
}

describe('vfiolab conformance', () => {
  it('prints matches by machine and family', async () => {
    const { code, out } = await run(TRACES, '--grep', 'b013');
    expect(code).toBe(OK);
    expect(out).toMatch(/6\.12 B-type1 b +1\/1 traces +26\/26 steps +100\.0 %/);
    expect(out).toContain('1 of 1 traces and 26 of 26 steps match');
  });

  it('prints one object for programs', async () => {
    const { code, out } = await run(TRACES, '--grep', 'b013', '--json');
    expect(code).toBe(OK);
    expect(JSON.parse(out)).toEqual({ traces: 1, tracesMatched: 1, steps: 26, stepsMatched: 26, mismatches: [] });
  });

  it('a run without any trace is not well', async () => {
    const { code, out } = await run(TRACES, '--grep', 'no trace has this');
    expect(code).toBe(FAILED);
    expect(out).toContain('No trace was run');
  });

  it('a path that is not there is an error of usage', async () => {
    await expect(run('/no/such/path')).rejects.toThrow(UsageError);
  });
});
