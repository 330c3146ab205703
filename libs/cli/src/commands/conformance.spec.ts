import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type NatsLab, startEmbedded } from '@vfiolab/testbed';
import { FAILED, OK, parse, UsageError } from '../command.js';
import type { Engine } from '../engine.js';
import { fakeEngine } from '../testing/fake-engine.js';
import { FakeTerminal } from '../testing/fake-terminal.js';
import { conformance } from './conformance.js';

const TRACES = fileURLToPath(new URL('../../../../test/conformance/traces', import.meta.url));

async function runWith(engine: Engine, ...argv: string[]) {
  const terminal = new FakeTerminal();
  const input = parse(conformance, argv);
  const code = await conformance.run(input, { terminal, engine, json: input.given('json') });
  return { code, out: terminal.written.out };
}

const run = (...argv: string[]) => runWith(fakeEngine(), ...argv, '--threads', '0');

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

  describe('with --nats', () => {
    const dir = mkdtempSync(join(tmpdir(), 'vfiolab-cli-nats-'));
    afterAll(() => rmSync(dir, { recursive: true, force: true }));
    let hosts = 0;

    /** A lab of hosts in this process. */
    function labHere() {
      const seen = { asked: [] as object[], ended: 0 };
      const newHost = () => startEmbedded({ dir: join(dir, `${++hosts}`), durability: 'none', record: false });
      const end = async (): Promise<void> => void seen.ended++;
      const startNatsLab = async (options: object): Promise<NatsLab> => {
        seen.asked.push(options);
        return { newHost, lost: new Promise<never>(() => undefined), pidOf: () => undefined, end };
      };
      return { engine: fakeEngine({ startNatsLab }), seen };
    }

    it('traces run on hosts of the lab, which ends with the run', async () => {
      const { engine, seen } = labHere();
      const { code, out } = await runWith(engine, TRACES, '--grep', 'b013', '--nats', 'auto', '--threads', '3');
      expect(code).toBe(OK);
      expect(out).toContain('1 of 1 traces and 26 of 26 steps match');
      expect(seen).toEqual({ asked: [{ url: 'auto', hosts: 3 }], ended: 1 });
    });

    it('the lab ends too when a path is wrong', async () => {
      const { engine, seen } = labHere();
      await expect(runWith(engine, '/no/such/path', '--nats', 'nats://127.0.0.1:4222')).rejects.toThrow(UsageError);
      expect(seen).toEqual({ asked: [{ url: 'nats://127.0.0.1:4222', hosts: 8 }], ended: 1 });
    });

    it('what keeps the lab from starting is an error of usage', async () => {
      const engine = fakeEngine({ startNatsLab: () => Promise.reject(new Error('no NATS server answered')) });
      const error: unknown = await runWith(engine, TRACES, '--nats', 'auto').catch((e: unknown) => e);
      expect(error).toBeInstanceOf(UsageError);
      expect((error as Error).message).toBe('--nats: no NATS server answered');
    });

    it.each([
      [['--nats', 'http://x'], /--nats: "http:\/\/x" is no address. Give nats:\/\/HOST:PORT, or auto/],
      [['--nats', 'auto', '--threads', '65'], /--threads: "65" is no whole number from 0 to 64/],
    ])('%j is an error of usage', async (options, message) => {
      const failure = runWith(fakeEngine(), TRACES, ...options);
      await expect(failure).rejects.toThrow(message);
      await expect(failure).rejects.toThrow(UsageError);
    });
  });

  it('a path that is not there is an error of usage', async () => {
    await expect(run('/no/such/path')).rejects.toThrow(UsageError);
  });
});
