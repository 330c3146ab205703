import { EventQueue } from './event-queue.js';
import { importEvents } from './import-events.js';
import { importPods } from './import-pods.js';
import { Random } from './random.js';
import { GPU, newKinds } from './shape.js';
import { hostCosts } from './start-costs.js';
import { gpuShape, hostsOf } from './testing/clusters.js';
import { policy } from './testing/openb.js';
import { Timeline } from './timeline.js';

const PODS = 'name,cpu_milli,memory_mib,num_gpu,gpu_milli,passthrough,near,creation_time,deletion_time';
const EVENTS = 'time,event,node,device,seconds,share';
/** Without any cost a pod that comes at 10 and stays 20 seconds ends at 30. */
const FREE = { ...hostCosts('intel'), launch: 0, devset: 0, reset: 0, boot: 0 };

function timeline(
  { hosts = hostsOf([gpuShape('h', 2)], [1]), costs = FREE, by = 'bestfit', migratable = [] as number[] },
  pods: readonly string[],
  events: readonly string[] = [],
) {
  const kinds = newKinds();
  const list = importPods([PODS, ...pods].join('\n'), 'pods.csv', kinds);
  const made = new Timeline(
    {
      hosts,
      kinds,
      pods: list,
      arrivals: { pods: Int32Array.from(list.names.keys()), nameOf: (arrival) => list.names[arrival]! },
      rank: Int32Array.from(hosts.names.keys()),
      seed: 1,
      events: importEvents([EVENTS, ...events].join('\n'), 'events.csv', hosts),
      costs,
      migratable: new Set(migratable),
    },
    policy(by),
  ).run();
  const nodes = Object.fromEntries([...made.decisions()].map(({ pod, node }) => [pod, node ?? '']));
  return { made, nodes, tally: made.tally() };
}
const pod = (name: string, gpus: number, from: number, to: number | ''): string =>
  `${name},1000,1024,${gpus},${gpus ? 1000 : 0},0,,${from},${to}`;
const through = (name: string, gpus: number, from: number, to: number | ''): string =>
  `${name},1000,1024,${gpus},1000,1,,${from},${to}`;

describe('pods come and go', () => {
  it('who finds no place waits for one to be free, the first to come first', () => {
    const { tally, nodes } = timeline({}, [pod('a', 2, 0, 100), pod('b', 2, 10, 20), pod('c', 2, 5, 8)]);
    // c waits from 5 to 100 and runs 3 seconds; b waits from 10 to 103.
    expect(tally).toMatchObject({ started: 3, waitingAtEnd: 0, gpuPeak: 100 });
    expect(tally.wait.most).toBeCloseTo(95);
    expect(tally.wait.mean).toBeCloseTo((0 + 95 + 93) / 3);
    expect(nodes['b']).toBe('h-0');
  });

  it('who never finds one is told why', () => {
    const { made, tally } = timeline({}, [pod('a', 2, 0, ''), pod('b', 1, 1, '')]);
    expect(tally).toMatchObject({ started: 1, waitingAtEnd: 1 });
    expect([...made.decisions()][1]).toMatchObject({ node: undefined, reason: 'h: devices 1' });
  });

  it('a start costs what it costs, and the devices come back after their reset', () => {
    const costs = { ...hostCosts('intel') };
    const { tally } = timeline({ costs }, [through('a', 1, 0, 10), through('b', 2, 1, 2)]);
    const { launch, lock, map, reset, boot } = tally.startupParts;
    expect(tally.startup.mean).toBeCloseTo(launch + lock + map + reset + boot);
    expect(map).toBeCloseTo(0.238);
    expect(tally.startup.most).toBeGreaterThan(tally.startup.p50 - 1e-9);
    expect(tally.wait.most).toBeGreaterThan(10 + costs.boot + costs.reset - 1);
  });

  it('the mean allocation is over time', () => {
    const { tally, made } = timeline({}, [pod('a', 2, 0, 50), pod('b', 1, 50, 100)]);
    expect(tally.gpuAllocation).toBeCloseTo(75);
    expect(made.statistics.samples.filter(({ gpuAllocation }) => gpuAllocation === 100).length).toBeGreaterThan(200);
  });
});

describe('events', () => {
  it('a host that fails loses its pods, which begin again when there is a place', () => {
    const { tally, nodes } = timeline({}, [pod('a', 1, 0, 100)], ['50,fail,h-0,,30,']);
    expect(tally).toMatchObject({ restarts: 1, started: 1, waitingAtEnd: 0 });
    expect(tally.wait.most).toBeCloseTo(30);
    expect(nodes['a']).toBe('h-0');
  });

  it('a host that fails for good leaves them waiting', () => {
    const { tally, made } = timeline({}, [pod('a', 1, 0, 100)], ['50,fail,h-0,,,']);
    expect(tally).toMatchObject({ restarts: 1, waitingAtEnd: 1 });
    expect([...made.decisions()][0]!.reason).toBe('h: down 1');
  });

  it('two failures at once: the host is back when both are over', () => {
    const { tally } = timeline({}, [pod('a', 1, 60, 70)], ['50,fail,h-0,,30,', '55,fail,h-0,,100,']);
    expect(tally.wait.most).toBeCloseTo(95);
  });

  it('a drained host takes nobody, and who can migrate goes', () => {
    const hosts = hostsOf([gpuShape('h', 2)], [2]);
    const pods = [pod('cpu', 0, 0, 200), pod('gpu', 1, 0, 200), pod('late', 1, 60, 80)];
    const moved = timeline({ hosts, migratable: [GPU] }, pods, ['50,drain,h-0,,,']);
    expect(moved.nodes).toEqual({ cpu: 'h-1', gpu: 'h-1', late: 'h-1' });
    expect(moved.tally).toMatchObject({ migrations: 2, restarts: 0 });
    const stays = timeline({ hosts }, pods, ['50,drain,h-0,,,']);
    expect(stays.nodes).toEqual({ cpu: 'h-1', gpu: 'h-0', late: 'h-1' });
    expect(stays.tally).toMatchObject({ migrations: 1, restarts: 0 });
  });

  it('a stuck device throws out who has it, and comes back', () => {
    const { tally } = timeline({}, [pod('a', 1, 0, 100), pod('b', 1, 0, 100)], ['50,stuck,h-0,gpu0,20,']);
    expect(tally).toMatchObject({ restarts: 1, started: 2, waitingAtEnd: 0 });
    expect(tally.wait.most).toBeCloseTo(20);
  });

  it('a device whose reset fails is in quarantine', () => {
    const pods = [through('a', 2, 0, 10), through('b', 2, 20, 30)];
    const lost = timeline({}, pods, ['0,reset-failures,,,,1']);
    expect(lost.tally).toMatchObject({ quarantined: 2, started: 1, waitingAtEnd: 1 });
    const back = timeline({}, pods, ['0,reset-failures,,,100,1']);
    expect(back.tally).toMatchObject({ quarantined: 4, started: 2, waitingAtEnd: 0 });
    // The pins of 1 GiB and the process are not free: a ends at 10.8.
    expect(back.tally.wait.most).toBeCloseTo(90.8, 1);
  });

  it('defragmenting empties a host for a pod that needs all of one', () => {
    const hosts = hostsOf([gpuShape('h', 2)], [2]);
    const wide = pod('wide', 2, 60, 70);
    const spread = [pod('a', 1, 0, 500), pod('fill', 1, 0, 30), pod('b', 1, 20, 500), wide];
    const without = timeline({ hosts }, spread);
    expect(without.tally.wait.most).toBeGreaterThan(400);
    const moved = timeline({ hosts, migratable: [GPU] }, spread, ['50,defragment,,,,']);
    expect(moved.tally).toMatchObject({ migrations: 1, restarts: 0 });
    expect(moved.tally.wait.most).toBe(0);
    const cannot = timeline({ hosts }, spread, ['50,defragment,,,,']);
    expect(cannot.tally.migrations).toBe(0);
    // Where all is full nothing can move, and nothing does.
    const full = [pod('a', 2, 0, 90), pod('b', 2, 0, 90)];
    expect(timeline({ hosts, migratable: [GPU] }, full, ['5,defragment,,,,']).tally.migrations).toBe(0);
  });

  it.each([
    ['an unknown event', '0,flood,,,,', 'events.csv:2: event: "flood" is none of fail, drain'],
    ['an unknown host', '0,fail,x,,,', 'events.csv:2: node: there is no host "x"'],
    ['an unknown device', '0,stuck,h-0,gpu9,,', 'events.csv:2: device: the host has no "gpu9"; it has gpu0, gpu1'],
    ['more than all', '0,reset-failures,,,,2', 'events.csv:2: share: "2" is no number from 0 to 1'],
    ['a negative time', '-1,fail,h-0,,,', 'events.csv:2: time: -1 is too small'],
  ])('refuse %s', (_what, line, message) => {
    expect(() => timeline({}, [pod('a', 1, 0, 1)], [line])).toThrow(message);
  });
});

describe.each(['random', 'bestfit', 'fgd', 'groups', 'switches'])('%s under storms of failures', (by) => {
  it('ends with all that is not in use free, and the same for the same seed', () => {
    const random = new Random(5);
    const shapes = [1, 2].map((perGroup) => gpuShape(`g${perGroup}`, 4, { perGroup, numaNodes: 2, perSwitch: 2 }));
    const hosts = hostsOf(shapes, [4, 4]);
    const pods = Array.from({ length: 300 }, (_, i) => {
      const from = random.below(1000);
      const make = random.below(2) === 0 ? pod : through;
      return make(`p${i}`, random.below(4), from, from + 1 + random.below(100)).replace(/,0,1000,1,/, ',0,0,0,');
    });
    const events = Array.from({ length: 60 }, (_, i) => {
      const node = hosts.names[random.below(hosts.names.length)]!;
      const [time, seconds] = [random.below(1100), 1 + random.below(60)];
      const lines = [
        `${time},fail,${node},,${seconds},`,
        `${time},drain,${node},,${seconds},`,
        `${time},stuck,${node},gpu${random.below(4)},${seconds},`,
        `${time},defragment,,,,`,
        `${time},reset-failures,,,${seconds},0.${random.below(5)}`,
      ];
      return lines[i % lines.length]!;
    });
    const once = () => timeline({ hosts, by, migratable: [GPU], costs: hostCosts('amd') }, pods, events);
    const { made, tally } = once();
    expect(tally).toMatchObject({ pods: 300, started: 300, waitingAtEnd: 0 });
    expect(tally.restarts).toBeGreaterThan(0);
    expect(tally.migrations).toBeGreaterThan(0);
    const { fleet } = made;
    for (let host = 0; host < fleet.count; host++) {
      expect(fleet.occupancy[host]).toBe(fleet.occupancies.fresh(fleet.shapeOf[host]!));
      expect(fleet.cpuLeft[host]).toBe(128_000);
      expect(fleet.memoryLeft[host]).toBe(1_000_000);
    }
    expect(once().tally).toEqual(tally);
  });
});

it('a queue gives the earliest, and of equals the first', () => {
  const queue = new EventQueue();
  const random = new Random(1);
  const wanted = Array.from({ length: 3000 }, (_, i) => ({ time: random.below(50), i }));
  for (const { time, i } of wanted) queue.add(time, 1, i);
  wanted.sort((a, b) => a.time - b.time || a.i - b.i);
  for (const { time, i } of wanted) {
    expect(queue.take()).toBe(true);
    expect([queue.time, queue.subject]).toEqual([time, i]);
  }
  expect(queue.take()).toBe(false);
});
