/** Traces in live labs: many at once, with the answers of virtual time, and labs that are not well. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Environment } from '@vfiolab/scenario';
import { findNatsServer } from '@vfiolab/shell';
import { startEmbedded, startNatsLab } from '@vfiolab/testbed';
import { conformance } from './conformance.js';
import { type LiveLab, runLive } from './live.js';
import { CONFORMANCE_FOLDER } from './machines.js';
import { readTraceFile, traceFiles } from './collect.js';
import type { TraceReport } from './run-trace.js';

const FOLDER = join(CONFORMANCE_FOLDER, 'traces');
const traces = traceFiles([FOLDER]).flatMap(readTraceFile);
const [first, second] = traces;
const NEVER = new Promise<never>(() => undefined);

const dir = mkdtempSync(join(tmpdir(), 'vfiolab-live-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A live lab without a server: every host in this process. Counts how many there are, and were at most. */
function labHere(change: (env: Environment) => Environment = (env) => env) {
  const hosts = { now: 0, most: 0, all: 0 };
  const lab: LiveLab = {
    lost: NEVER,
    newHost: async () => {
      hosts.most = Math.max(hosts.most, ++hosts.now);
      const env = await startEmbedded({ dir: join(dir, `${++hosts.all}`), durability: 'none', record: false });
      const end = async () => {
        hosts.now--;
        return env.end();
      };
      return change(Object.assign(Object.create(env) as Environment, { end }));
    },
  };
  return { lab, hosts };
}

async function reportsOf(lab: LiveLab, lanes: number, some = traces.slice(0, 5)): Promise<TraceReport[]> {
  const reports: TraceReport[] = [];
  await runLive(some[Symbol.iterator](), lab, lanes, (_trace, place, report) => (reports[place] = report));
  return reports;
}

describe('a live lab', () => {
  it('gets a fresh host for each trace, and as many at once as there are lanes', async () => {
    const { lab, hosts } = labHere();
    const reports = await reportsOf(lab, 2);
    expect(reports.map((r) => r.trace)).toEqual(traces.slice(0, 5).map((t) => t.name));
    expect(reports.flatMap((r) => r.mismatches)).toEqual([]);
    expect(hosts).toEqual({ now: 0, most: 2, all: 5 });
  }, 30_000);

  it('what its end says is a mismatch of the trace', async () => {
    const ill = labHere((env) =>
      Object.assign(env, { end: async () => ({ actors: [], broken: ['pages is failed'] }) }),
    );
    const [report] = await reportsOf(ill.lab, 1, [first!]);
    expect(report!.stepsMatched).toBe(report!.steps);
    expect(report!.mismatches).toMatchObject([{ step: 'end', field: 'invariant', got: 'pages is failed' }]);
  }, 30_000);

  it('a machine that nobody has described is reported at every step, and the others go on', async () => {
    const { lab, hosts } = labHere();
    const unknown = { ...first!, machine: 'no-such-machine' };
    const [bad, good] = await reportsOf(lab, 1, [unknown, second!]);
    expect(bad!.mismatches.length).toBe(bad!.steps);
    expect(good!.mismatches).toEqual([]);
    expect(hosts.now).toBe(0);
  }, 30_000);

  it('that is lost ends the run with the reason', async () => {
    const lost = Promise.reject(new Error('the pages service ended'));
    const lab: LiveLab = { lost, newHost: () => NEVER };
    await expect(reportsOf(lab, 3)).rejects.toThrow('the pages service ended');
  });

  it('that makes no host ends the run too', async () => {
    const lab: LiveLab = { lost: NEVER, newHost: () => Promise.reject(new Error('as many as it may')) };
    await expect(reportsOf(lab, 3)).rejects.toThrow('as many as it may');
  });
});

(findNatsServer() ? describe : describe.skip)('on NATS (skipped when nats-server is not installed)', () => {
  it('one process a service answers as virtual time does, to the report', async () => {
    const virtual = await conformance([FOLDER], { threads: 0 });
    const lab = await startNatsLab({ url: 'auto', hosts: 4 });
    try {
      const live = await conformance([FOLDER], { threads: 4, lab });
      expect(live.report()).toEqual(virtual.report());
      expect(live.groups).toEqual(virtual.groups);
      expect(live.report().tracesMatched).toBe(traces.length);
    } finally {
      await lab.end();
    }
  }, 120_000);
});
