import { ContainerLab, ENGINE, IOVA, NOTHING, PAGE, TYPE1, TYPE1_V2 } from './support/container-lab.js';

it.each([TYPE1, TYPE1_V2])('89: UNMAP_ALL answers the total removed (type %i)', async (type) => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container } = await p.ready([ENGINE], type);
  const va = await p.memory(64 * PAGE);
  let total = 0n;
  for (let i = 1; i <= 40; i++) {
    const size = BigInt((1 + (i % 7)) * PAGE);
    expect(await p.map(container, { vaddr: va, iova: BigInt(i) * IOVA, size })).toBeUndefined();
    total += size;
  }
  expect(await p.unmap(container, { flags: 2, iova: IOVA })).toBe('EINVAL');
  expect(await p.unmap(container, { flags: 2, size: 4096n })).toBe('EINVAL');
  expect(await p.unmap(container, { flags: 2 })).toBe(total);
  expect(await p.unmap(container, { flags: 2 })).toBe(0n);
  expect(await p.lockedKb()).toBe(0);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
