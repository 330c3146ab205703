import { ContainerLab, IOVA, NOTHING, PAGE, PAIR } from './support/container-lab.js';

const page = BigInt(PAGE);

it.each([
  ['map, then attach', [1, 2, 0]],
  ['attach, then map', [0, 1, 2]],
  ['one before, one after', [1, 0, 2]],
] as const)('52: %s: the devices of both groups see the same', async (_order, steps) => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready();
  const va = await p.memory(2 * PAGE, 0x21);
  for (const step of steps) {
    if (step === 0) {
      groups.push(await p.group(PAIR[0]));
      expect(await p.setContainer(groups[1]!, container)).toBe(0);
    } else
      expect(
        await p.map(container, { vaddr: va + BigInt(step - 1) * page, iova: BigInt(step) * IOVA, size: page }),
      ).toBeUndefined();
  }
  expect(await p.lockedKb()).toBe(8);
  const engines = [await p.engine(groups[0]!), await p.engine(groups[1]!, PAIR[0])];
  for (const [i, engine] of engines.entries()) {
    await p.must(p.process.write(Number(va), Uint8Array.of(0x40 + i)));
    await p.copy(engine, IOVA, 2n * IOVA, 1);
    expect(await p.byteAt(va + page)).toBe(0x40 + i);
  }
  expect(await p.unmap(container, { iova: IOVA, size: page })).toBe(page);
  for (const engine of engines) {
    await p.must(p.process.write(Number(va + page), Uint8Array.of(0x77)));
    await p.copy(engine, 2n * IOVA, IOVA, 1);
    expect(await p.byteAt(va)).not.toBe(0x77);
  }
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
