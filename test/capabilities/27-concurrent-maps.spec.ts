import { record } from '../../libs/sim/src/hunt/histories.js';
import { linearise } from '../../libs/sim/src/hunt/linearise.js';
import { boot } from '../../libs/sim/src/hunt/machine.js';
import { Lab, NOTHING } from './support/lab.js';
import { APERTURE, PAGE } from './support/program.js';

it.each([1, 2, 3, 4, 5, 6])(
  '27: eight writers on one IOAS: the calls took effect one after another in some order (seed %i)',
  async (seed) => {
    const world = await boot({ kind: 'mock', seed });
    const { history, broken } = record({ world, seed, clients: 8, calls: 8, attached: true });
    expect(broken).toEqual([]);
    expect(history.length).toBe(8 * 8 + 1);
    const overlapping = history.filter((a) => history.some((b) => b.made < a.made && b.answered > a.made));
    expect(overlapping.length).toBeGreaterThan(32);
    expect(linearise(history)).toMatchObject({ explained: true });
    const answers = new Set(history.map(({ answer }) => answer.errno));
    for (const errno of answers) expect([undefined, 'EBUSY', 'ENOENT', 'EEXIST']).toContain(errno);
  },
);

it('27: calls on one area at the same time: one of them does it, the others answer EBUSY or ENOENT', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const [ioas, va] = [await p.ioas(), await p.memory(64 * PAGE)];
  await p.mock(ioas);
  const seen = new Set<unknown>();
  for (let round = 0; round < 20; round++) {
    expect(await p.map(ioas, APERTURE, va, 64 * PAGE)).toBeUndefined();
    const all = () => Promise.all(Array.from({ length: 8 }, () => p.unmap(ioas, APERTURE, 64 * PAGE)));
    const answers = await lab.host.together(all);
    expect(answers.filter((a) => a === BigInt(64 * PAGE))).toHaveLength(1);
    for (const answer of answers) seen.add(answer);
    expect(await p.refs(va, 64 * PAGE, 0)).toBeUndefined();
  }
  seen.delete(BigInt(64 * PAGE));
  expect([...seen].filter((answer) => answer !== 'EBUSY' && answer !== 'ENOENT')).toEqual([]);
  expect(seen.size).toBeGreaterThan(0);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
