import { Fleet, UP, DRAINED } from './fleet.js';
import { TAKEN_GROUP, UNITS } from './occupancies.js';
import { policies } from './policies/index.js';
import { Random } from './random.js';
import { REASONS } from './reasons.js';
import { run } from './run.js';
import { NOWHERE, REFUSED, Scheduler } from './scheduler.js';
import { FITS } from './score-tree.js';
import { GPU, MILLI, type Shape } from './shape.js';
import { gpuShape, hostsOf, podLines, runInput } from './testing/clusters.js';

const VF = 1;
const slot = { name: 'x', kind: GPU, units: MILLI, group: 0, numa: 0, switch: 0, link: 0 };

function place(shape: Shape, ...lines: string[]) {
  const { hosts, kinds, pods, rank } = runInput(hostsOf([shape], [1]), lines);
  const { classes } = pods.requests;
  const fleet = new Fleet(hosts, rank);
  const policy = policies.find(({ name }) => name === 'numa')!;
  const scheduler = new Scheduler(fleet, policy, { classes, counts: classes.map(() => 1) }, kinds, new Random(1));
  return [...pods.classOf].map((id) => {
    if (scheduler.place(classes[id]!) >= 0) return 'placed';
    const tally = scheduler.tally(classes[id]!);
    return REASONS[tally.findIndex((count) => count > 0)];
  });
}
const pod = (name: string, gpus: number, rest: string): string =>
  `${name},1000,1000,${gpus},${gpus ? 1000 : 0},${rest}`;

describe('why a host does not take a request', () => {
  const plain = gpuShape('plain', 4);
  const vfs = gpuShape('vfs', 1, { more: { slots: [{ ...slot, kind: VF, units: 4 }] } });

  it.each<[string, Shape, string[], string]>([
    ['cpu', plain, ['a,128001,1,0,0,0,,0,,0,0'], 'cpu'],
    ['memory', plain, ['a,1,500001,0,0,0,,0,,0,0'], 'memory'],
    ['devices', plain, [pod('a', 5, '0,,0,,0,0')], 'devices'],
    ['a kind that nobody has', plain, [pod('a', 0, '0,,0,fpga*1,0,0')], 'devices'],
    ['VFs of one PF', vfs, [pod('a', 0, '1,,0,vf*1:5,0,0')], 'vf'],
    ['memlock', plain, [pod('a', 1, '1,,400001,,0,0').replace('1000,1,', '500000,1,')], 'memlock'],
    ['hugepages', plain, [pod('a', 1, '1,,1000,,1,0')], 'hugepages'],
  ])('%s', (_what, shape, lines, reason) => {
    expect(place(shape, ...lines)).toEqual([reason]);
  });

  it('a group has one user', () => {
    const shape = gpuShape('pairs', 4, { perGroup: 2 });
    const one = (name: string) => pod(name, 1, '1,,0,,0,0');
    expect(place(shape, one('a'), one('b'), one('c'))).toEqual(['placed', 'placed', 'group']);
    expect(place(shape, pod('a', 2, '1,,0,,0,0'), pod('b', 2, '1,,0,,0,0'))).toEqual(['placed', 'placed']);
  });

  it('a group of which a device is shared cannot be passed through, and the other way round', () => {
    const shape = gpuShape('pair', 2, { perGroup: 2 });
    const share = 'share,1,1,1,500,0,,0,,0,0';
    expect(place(shape, share, pod('a', 1, '1,,0,,0,0'))).toEqual(['placed', 'group']);
    expect(place(shape, pod('a', 1, '1,,0,,0,0'), share)).toEqual(['placed', 'group']);
  });

  it('a request for whole groups takes all their devices', () => {
    const shape = gpuShape('pairs', 4, { perGroup: 2 });
    const whole = pod('a', 1, '1,,0,,0,1');
    expect(place(shape, whole, pod('b', 2, '1,,0,,0,0'), pod('c', 1, '1,,0,,0,0'))).toEqual([
      'placed',
      'placed',
      'devices',
    ]);
  });

  it('devices of one NUMA node, of one switch, of one NVLink domain', () => {
    const shape = gpuShape('two', 4, { numaNodes: 2, perSwitch: 1 });
    expect(place(shape, pod('a', 3, '1,numa,0,,0,0'))).toEqual(['numa']);
    expect(place(shape, pod('a', 2, '1,numa,0,,0,0'), pod('b', 2, '1,numa,0,,0,0'))).toEqual(['placed', 'placed']);
    expect(place(shape, pod('a', 2, '1,switch,0,,0,0'))).toEqual(['switch']);
    expect(place(shape, pod('a', 4, '1,link,0,,0,0'))).toEqual(['placed']);
    const apart = gpuShape('apart', 2, { more: { slots: [0, 1].map((link) => ({ ...slot, group: link, link })) } });
    expect(place(apart, pod('a', 2, '1,link,0,,0,0'))).toEqual(['link']);
  });

  it('pinned memory is that of the NUMA node of the devices', () => {
    const shape = gpuShape('two', 4, { numaNodes: 2, more: { memory: [1000, 3000] } });
    const pinning = (name: string, mib: number): string => `${name},1,${mib},1,1000,1,numa,${mib},,0,0`;
    expect(place(shape, pinning('a', 2500), pinning('b', 900), pinning('c', 400))).toEqual([
      'placed',
      'placed',
      'placed',
    ]);
    expect(place(shape, pinning('a', 2500), pinning('b', 1200))).toEqual(['placed', 'pinned-memory']);
  });

  it('VFs go from the PF that has the fewest left', () => {
    const two = [2, 4].map((units, group) => ({ ...slot, kind: VF, units, group }));
    const shape = gpuShape('vfs', 2, { more: { slots: two } });
    const ask = (name: string, count: number) => pod(name, 0, `1,,0,vf*1:${count},0,0`);
    expect(place(shape, ask('a', 2), ask('b', 4), ask('c', 1))).toEqual(['placed', 'placed', 'vf']);
  });
});

it.each(policies.map(({ name }) => name))('%s: no pod gets a device whose group another one passes through', (name) => {
  const shape = gpuShape('pairs', 2, { perGroup: 2 });
  const input = runInput(hostsOf([shape], [1]), ['vm,1,1,1,1000,1,,0,,0,0', 'share,1,1,1,500,0,,0,,0,0']);
  const made = run(
    { ...input, arrivals: { pods: Int32Array.of(0, 1), nameOf: String } },
    policies.find((each) => each.name === name)!,
  );
  // Where the policy counts, the host refuses.
  expect([made.hosts[0], made.hosts[1]! < 0]).toEqual([0, true]);
  expect(made.decision(1).reason).toContain('group');
});

describe.each(policies.map(({ name }) => name))('%s, with pods that come and go and devices that fail', (name) => {
  const shapes = [1, 2, 4].map((perGroup) => gpuShape(`g${perGroup}`, 8, { perGroup, numaNodes: 2, perSwitch: 4 }));
  const lines = ['any', 'numa', 'switch'].flatMap((near) => [1, 2, 4].flatMap((gpus) => podLines(1, gpus, near)));
  const { hosts, kinds, pods, rank } = runInput(hostsOf(shapes, [3, 3, 3]), [
    ...lines,
    'share,1000,1,1,300,0,,0,,0,0',
    'cpu,9000,1,0,0,0,,0,,0,0',
    'pin,1000,90000,1,1000,1,numa,90000,,0,0',
  ]);
  const { classes } = pods.requests;

  it('never gives what is not there, knows each host as a fresh look does, and gets all back', () => {
    const fleet = new Fleet(hosts, rank);
    const policy = policies.find((each) => each.name === name)!;
    const random = new Random(3);
    const scheduler = new Scheduler(fleet, policy, { classes, counts: classes.map(() => 1) }, kinds, new Random(1));
    const fresh = [...fleet.occupancy];
    const there: [number, number, Scheduler['fits'], number, Int32Array][] = [];
    const leave = (i: number): void => {
      const [[host, id, fits, row, memory]] = there.splice(i, 1) as [(typeof there)[number]];
      scheduler.release(host, classes[id]!, fits, row, memory);
    };
    const broken: string[] = [];
    let placed = 0;
    for (let step = 0; step < 1500; step++) {
      const what = random.below(10);
      if (what < 6) {
        const id = random.below(classes.length);
        const host = scheduler.place(classes[id]!);
        if (host >= 0) {
          placed++;
          there.push([host, id, scheduler.fits, scheduler.row, scheduler.memoryTaken.slice()]);
        } else if (host !== NOWHERE && host !== REFUSED) broken.push(`${host} is no host`);
      } else if (what < 9 && there.length > 0) leave(random.below(there.length));
      else if (what === 9) {
        const host = random.below(fleet.count);
        fleet.state[host] = random.below(2) === 0 ? DRAINED : UP;
        scheduler.touch(host);
        scheduler.setOut(random.below(fleet.count), random.below(8), random.below(2) === 0);
      }
      broken.push(...violations(fleet));
      // What GpuClustering counts is not to be seen on hosts.
      if (step % 50 !== 0 || name === 'gpuclustering') continue;
      const fresh = new Scheduler(fleet, policy, { classes, counts: classes.map(() => 1) }, kinds, new Random(1));
      for (const request of classes) expect([...scheduler.codes(request)]).toEqual([...fresh.codes(request)]);
    }
    expect(broken).toEqual([]);
    expect(placed).toBeGreaterThan(300);
    while (there.length > 0) leave(0);
    for (let host = 0; host < fleet.count; host++) {
      for (let slot = 0; slot < 8; slot++) scheduler.setOut(host, slot, false);
      fleet.state[host] = UP;
      scheduler.touch(host);
    }
    expect([...fleet.occupancy]).toEqual(fresh);
    expect(Math.min(...fleet.cpuLeft)).toBe(128_000);
    expect(Math.min(...fleet.numaLeft)).toBe(500_000);
    for (const request of classes) {
      scheduler.place(request);
      const tally = scheduler.tally(request);
      for (let shape = 0; shape < shapes.length; shape++)
        expect(tally.subarray(shape * FITS, (shape + 1) * FITS).reduce((sum, each) => sum + each)).toBe(3);
    }
  });
});

/** Something is below 0, or a group that is passed through has another user. */
function violations({ cpuLeft, memoryLeft, numaLeft, occupancy, occupancies, shapes, shapeOf }: Fleet): string[] {
  const found: string[] = [];
  for (const columns of [cpuLeft, memoryLeft, numaLeft])
    if (Math.min(...columns) < 0) found.push('more is given than there is');
  for (const [host, state] of occupancy.entries()) {
    const { slots } = shapes[shapeOf[host]!]!;
    const cells = slots.map((_, i) => occupancies.cells[state * occupancies.stride + i]!);
    for (const [i, { units, group }] of slots.entries()) {
      if ((cells[i]! & UNITS) > units) found.push(`${i} of host ${host} has more than its units`);
      const user = slots.some((each, j) => each.group === group && (cells[j]! & UNITS) === 0);
      if (cells[i]! & TAKEN_GROUP && !user) found.push(`${i} of host ${host} is kept for nobody`);
    }
  }
  return found;
}
