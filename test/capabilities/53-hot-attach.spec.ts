import { BRIDGED, ContainerLab, ENGINE, IOVA, NOTHING, PAGE, PAIR, TYPE1 } from './support/container-lab.js';

const page = BigInt(PAGE);

it.each([TYPE1, 3])('53: groups that come while the container works get every mapping (type %i)', async (type) => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready([ENGINE], type);
  const va = await p.memory(64 * PAGE, 0x33);
  for (let i = 0n; i < 32n; i++)
    expect(await p.map(container, { vaddr: va + i * page, iova: IOVA + 2n * i * page, size: page })).toBeUndefined();
  for (const bdf of [PAIR[0], BRIDGED]) {
    const group = await p.group(bdf);
    expect(await p.setContainer(group, container)).toBe(0);
    const engine = await p.engine(group, bdf);
    await p.must(p.process.write(Number(va), Uint8Array.of(0x55)));
    await p.copy(engine, IOVA, IOVA + 62n * page, 1);
    expect(await p.byteAt(va + 31n * page)).toBe(0x55);
    await p.must(p.process.write(Number(va + 31n * page), Uint8Array.of(0x33)));
    groups.push(group);
  }
  expect(await p.lockedKb()).toBe(128);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('53: a group that cannot come leaves everything as it was', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container } = await p.ready();
  const va = await p.memory(PAGE);
  expect(await p.map(container, { vaddr: va, iova: IOVA, size: page })).toBeUndefined();
  expect(await p.unmap(container, { flags: 4, iova: IOVA, size: page })).toBe(page);
  const late = await p.group(PAIR[0]);
  expect(await p.setContainer(late, container)).toBe('EBUSY');
  // It is not in a container, its DMA belongs to nobody, so it can go elsewhere.
  const other = await p.container();
  expect(await p.setContainer(late, other)).toBe(0);
  expect(await p.setIommu(other, TYPE1)).toBe(0);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
