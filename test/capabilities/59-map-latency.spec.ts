/** Capability 59: what maps, unmaps and flushes cost, in virtual time. */
import { fileURLToPath } from 'node:url';
import { readScenarioFile } from '@vfiolab/scenario';
import { CALM, type Costs, DEFAULT_COSTS, readCosts, simulate } from '@vfiolab/sim';
import { Passthrough } from './support/iommu-host.js';

const NOTHING = { pinPage: 0, pinRun: 0, unpinPage: 0, mapLeaf: 0, unmapLeaf: 0, flush: 0, fault: 0 };
const AT = 0x40000000n;
const PAGES = 96;
const BYTES = BigInt(PAGES) * 4096n;

/** ms that a map and an unmap of PAGES pages take, with a device attached. */
async function latency(costs?: Partial<Costs>): Promise<{ map: number; unmap: number }> {
  const options = costs ? { ...CALM, costs: readCosts({ ...NOTHING, ...costs }) } : CALM;
  const t = await Passthrough.boot({ iommu: 'intel-vtd', options });
  const { agenda } = t.host.host;
  const device = await t.device();
  const [ioas, va] = [await t.ioas(), await t.memory(Number(BYTES))];
  expect(await t.attach(device, ioas)).toBeUndefined();
  const timed = async (work: () => Promise<unknown>) => {
    const began = agenda.now;
    expect(await work()).toBeUndefined();
    return agenda.now - began;
  };
  const map = await timed(() => t.map(ioas, AT, va, BYTES));
  const unmap = await timed(() => t.unmap(ioas, AT, BYTES));
  expect(t.broken()).toEqual([]);
  return { map, unmap };
}

const US = 1000;

it.each<[string, Partial<Costs>, number, number]>([
  ['a pinned page', { pinPage: 10 * US }, PAGES * 10, 0],
  ['a leaf that is written', { mapLeaf: 20 * US }, PAGES * 20, 0],
  ['a leaf that is cleared', { unmapLeaf: 30 * US }, 0, PAGES * 30],
  ['a flush', { flush: 700 * US }, 0, 700],
  ['a page that is unpinned', { unpinPage: 5 * US }, 0, PAGES * 5],
  ['all of them', { pinPage: US, mapLeaf: US, unmapLeaf: US, flush: US }, 2 * PAGES, PAGES + 1],
])('59: cost model per map/unmap/flush configurable: %s', async (_title, costs, mapUs, unmapUs) => {
  const free = await latency();
  const { map, unmap } = await latency(costs);
  expect(map - free.map).toBeCloseTo(mapUs / 1000, 6);
  expect(unmap - free.unmap).toBeCloseTo(unmapUs / 1000, 6);
});

const scenario = readScenarioFile(fileURLToPath(new URL('../../libs/cli/scenarios/demo.yaml', import.meta.url)));

it.each([0, 3, 8])('59: replay deterministic (seed %i)', async (seed) => {
  const run = (costs: Costs) => simulate(scenario, { seed, costs });
  const [first, again, dear] = [
    await run(DEFAULT_COSTS),
    await run(DEFAULT_COSTS),
    await run(readCosts({ pinPage: 300, flush: 5e6 })),
  ];
  expect(again).toEqual(first);
  expect(first.scenario.failure).toBeUndefined();
  expect(first.work!.pinnedPages).toBeGreaterThan(0);
  // Costs change when answers come, and no answer.
  expect(dear.virtualSeconds).toBeGreaterThan(first.virtualSeconds);
  expect(dear.end.broken).toEqual([]);
  expect(dear.end.actors.map((a) => a.stateHash)).toEqual(first.end.actors.map((a) => a.stateHash));
});
