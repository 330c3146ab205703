import { importNodes } from './import-nodes.js';
import { importPods } from './import-pods.js';
import { InputError } from './input-error.js';
import { LIMITS } from './limits.js';
import { MAX_SCORE } from './policy.js';
import { Occupancies } from './occupancies.js';
import { policies } from './policies/index.js';
import { Reports } from './reports.js';
import { run } from './run.js';
import { FITS } from './score-tree.js';
import { newKinds } from './shape.js';
import { gpuShape, hostsOf, podLines, runInput } from './testing/clusters.js';

const many = (count: number, line: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join('\n');

it('states of hosts', () => {
  const made = new Occupancies([gpuShape('h', 4)], 3);
  for (const left of [999, 998]) {
    made.edit(0)[0] = left;
    made.intern(0);
  }
  made.edit(0)[0] = 999;
  expect(made.intern(0)).toBe(1);
  made.edit(0)[0] = 997;
  expect(() => made.intern(0)).toThrow(InputError);
});

it('reasons', () => {
  const shapes = [gpuShape('h', 1)];
  const reports = new Reports({ shapes, nameOf: String }, 3, 2 * FITS + 1);
  const tally = new Int32Array(FITS).fill(1, 3, 4);
  for (const arrival of [0, 1]) reports.rejections(arrival, tally);
  expect([0, 1, 2].map((arrival) => reports.text(arrival))).toEqual(['h: cpu 1', 'too many to keep', '']);
});

it('kinds of host and of request', () => {
  const nodes = (count: number) =>
    importNodes(`sn,cpu_milli,memory_mib,gpu,model\n${many(count, (i) => `n${i},${i},1,0,`)}`, 'n.csv', newKinds());
  expect(nodes(LIMITS.shapes).shapes).toHaveLength(LIMITS.shapes);
  expect(() => nodes(LIMITS.shapes + 1)).toThrow('kinds of host');
  const pods = (count: number) =>
    importPods(
      `name,cpu_milli,memory_mib,num_gpu,gpu_milli\n${many(count, (i) => `p${i},${i},1,0,0`)}`,
      'p.csv',
      newKinds(),
    );
  expect(pods(LIMITS.classes).requests.classes).toHaveLength(LIMITS.classes);
  expect(() => pods(LIMITS.classes + 1)).toThrow('different requests');
});

it.each(policies.map(({ name }) => name))('scores of %s, on hosts of the largest size', (name) => {
  const policy = policies.find((each) => each.name === name)!;
  const more = { cpuMilli: LIMITS.cpuMilli, memory: [LIMITS.memoryMib / 2, LIMITS.memoryMib / 2] };
  const large = gpuShape('large', LIMITS.devices, { perGroup: 2, numaNodes: 2, perSwitch: 4, more });
  const made = run(runInput(hostsOf([large, gpuShape('small', 1)], [2, 2]), podLines(200, 1, 'any')), policy);
  for (const request of made.scheduler.load.classes) {
    const codes = [...made.scheduler.codes(request)];
    expect(Math.max(...codes)).toBeLessThanOrEqual(FITS + MAX_SCORE);
    expect(codes.every((code) => Number.isInteger(code))).toBe(true);
  }
  expect(made.tally().placed).toBeGreaterThan(0);
});
