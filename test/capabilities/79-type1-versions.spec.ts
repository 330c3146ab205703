import { ContainerLab, ENGINE, IOVA, NOTHING, PAGE, TYPE1, TYPE1_V2 } from './support/container-lab.js';

const page = BigInt(PAGE);

it.each([
  [TYPE1, 'in the middle', 1n, 1n, 0n],
  [TYPE1, 'at its start', 0n, 1n, 4n * page],
  [TYPE1, 'over its end', 2n, 8n, 0n],
  [TYPE1, 'from before its start', -1n, 2n, 4n * page],
  [TYPE1_V2, 'in the middle', 1n, 1n, 'EINVAL'],
  [TYPE1_V2, 'at its start', 0n, 1n, 'EINVAL'],
  [TYPE1_V2, 'over its end', 2n, 8n, 'EINVAL'],
  [TYPE1_V2, 'from before its start', -1n, 2n, 'EINVAL'],
] as const)('79: type %i, an unmap %s of a mapping', async (type, _where, first, count, answer) => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready([ENGINE], type);
  const va = await p.memory(4 * PAGE, 0x66);
  expect(await p.map(container, { vaddr: va, iova: IOVA, size: 4n * page })).toBeUndefined();
  expect(await p.unmap(container, { iova: IOVA + first * page, size: count * page })).toBe(answer);
  const whole = answer === 4n * page;
  expect(await p.lockedKb()).toBe(whole ? 0 : 16);
  // What went is gone for the device as a whole; what stayed is there as a whole.
  const engine = await p.engine(groups[0]!);
  for (const i of [1n, 2n, 3n]) {
    await p.must(p.process.write(Number(va), Uint8Array.of(0x70 + Number(i))));
    await p.copy(engine, IOVA, IOVA + i * page, 1);
    expect(await p.byteAt(va + i * page)).toBe(whole ? 0x66 : 0x70 + Number(i));
  }
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
