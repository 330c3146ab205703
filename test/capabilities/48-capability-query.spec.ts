import { ContainerLab, ENGINE, NOTHING, TYPE1_V2 } from './support/container-lab.js';

const EXTENSIONS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

it.each([
  ['B-type1', '6.12', [0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0]],
  ['B-type1', '7.2', [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0]],
  ['C-amd', '7.2', [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0], [0, 1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0]],
] as const)('48: the extensions of %s on %s before and after SET_IOMMU', async (machine, profile, before, after) => {
  const lab = await ContainerLab.boot({ machine, profile });
  const p = await lab.program('vmm');
  const container = await p.container();
  const table = async () => {
    const answers: unknown[] = [];
    for (const n of EXTENSIONS) answers.push(await p.extension(container, n));
    return answers;
  };
  expect(await table()).toEqual(before);
  expect(await p.setContainer(await p.group(ENGINE), container)).toBe(0);
  expect(await table()).toEqual(before);
  expect(await p.setIommu(container, TYPE1_V2)).toBe(0);
  expect(await table()).toEqual(after);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
