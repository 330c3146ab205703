import { prometheus } from './prometheus.js';
import type { PolicyResult, TimedResult } from './report.js';

const placed: PolicyResult = {
  ...{ policy: 'f"g\\d\n', pods: 10, placed: 7, unschedulable: 2, refused: 1, refusals: 4, gpuAllocation: 50 },
  ...{ cpuAllocation: 25, gpuDemand: 130, hostsUsed: 3, reasons: { group: 2, 'refused: numa': 1 } },
};
const spread = { mean: 2, p50: 1, p99: 5, most: 9 };
const timed: TimedResult = {
  ...{ policy: 'numa', pods: 10, started: 9, waitingAtEnd: 1, refusals: 0, restarts: 2, migrations: 3, quarantined: 1 },
  ...{ gpuAllocation: 40, gpuPeak: 90, wait: spread, startup: spread },
  startupParts: { launch: 1, lock: 2, map: 3, reset: 4, boot: 5 },
} as TimedResult;

/** A line of the format: a comment, or a name, labels and a number. */
const LINE =
  /^(# HELP [a-z_]+ \S.*|# TYPE [a-z_]+ (gauge|counter)|[a-z_]+\{([a-z]+="([^"\\\n]|\\["\\n])*",?)*\} -?[\d.e+-]+)$/;

it('is the text format, with every name once', () => {
  const text = prometheus([placed, { ...placed, policy: 'fgd', carried: { sampled: 5, refused: 0 } }, timed]);
  expect(text.endsWith('\n')).toBe(true);
  const lines = text.trimEnd().split('\n');
  expect(lines.filter((line) => !LINE.test(line))).toEqual([]);
  const types = lines.filter((line) => line.startsWith('# TYPE'));
  expect(new Set(types).size).toBe(types.length);
  const samples = lines.filter((line) => !line.startsWith('#')).map((line) => line.replace(/ \S+$/, ''));
  expect(new Set(samples).size).toBe(samples.length);
});

it('tells what a run came to, in base units', () => {
  const lines = prometheus([placed, timed]).split('\n');
  expect(lines).toEqual(
    expect.arrayContaining([
      'vfiolab_cluster_pods{policy="f\\"g\\\\d\\n",state="placed"} 7',
      'vfiolab_cluster_unplaced_pods{policy="f\\"g\\\\d\\n",reason="refused: numa"} 1',
      'vfiolab_cluster_gpu_allocation_ratio{policy="numa"} 0.4',
      'vfiolab_cluster_startup_seconds{policy="numa",quantile="0.99"} 5',
      'vfiolab_cluster_startup_part_seconds{policy="numa",part="map"} 3',
    ]),
  );
});
