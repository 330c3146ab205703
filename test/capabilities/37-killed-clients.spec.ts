import { Lab, NOTHING } from './support/lab.js';
import { Graph } from './support/graph.js';

const seeds = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe.each([
  ['mock', 90, 22],
  ['real', 40, 11],
] as const)('37: a client is killed, whatever it had built on /dev/iommu (%s)', (kind, steps, kinds) => {
  const made = new Set<string>();

  it.each([
    [1, 4],
    [5, 8],
    [9, 12],
  ])('seeds %i to %i: no object, pin or owner stays', async (from, to) => {
    const lab = await Lab[kind]();
    for (const seed of seeds(from, to)) {
      const p = await lab.program(`client${seed}`);
      const graph = await Graph.grow(p, kind, seed, steps);
      Object.keys(graph.made).forEach((each) => made.add(each));
      expect(lab.broken()).toEqual([]);
      expect([seed, await lab.afterwards(p)]).toEqual([seed, NOTHING]);
    }
  });

  it('seeds 13 to 18: nor when calls of it are under way, or another client has its /dev/iommu', async () => {
    const lab = await Lab[kind]();
    for (const seed of seeds(13, 18)) {
      const [p, other] = [await lab.program(`client${seed}`), await lab.process(`other${seed}`)];
      await Graph.grow(p, kind, seed, steps / 2);
      other.fd = await p.send(p.fd, other);
      await lab.host.together(async () => {
        const calls = Graph.grow(other, kind, seed + 100, 4);
        const dying = Graph.grow(p, kind, seed + 200, 4).catch(() => undefined);
        await lab.host.pause(0.05 * (seed - 13));
        await p.process.exit();
        await Promise.race([dying, lab.host.pause(5)]);
        await calls;
      });
      expect(lab.broken()).toEqual([]);
      expect([seed, await lab.afterwards(other)]).toEqual([seed, NOTHING]);
    }
  });

  it('the seeds make objects of every kind', () => expect([...made].sort()).toHaveLength(kinds));
});
