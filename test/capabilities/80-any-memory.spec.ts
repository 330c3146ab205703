import { ContainerLab, IOVA, NOTHING, PAGE } from './support/container-lab.js';

const page = BigInt(PAGE);

it('80: private, shared, file, huge and device memory, anywhere in the aperture', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready();
  const engine = await p.engine(groups[0]!);
  const memfd = await p.must(p.process.memfds.create());
  await p.must(p.process.memfds.truncate(memfd, 8 * PAGE));
  const places: [string, number, number][] = [
    ['private', await p.must(p.process.mmap(8 * PAGE)), 32],
    ['shared', await p.must(p.process.mmapShared(8 * PAGE)), 64],
    ['file', await p.must(p.process.mapFile(memfd, 0, 8 * PAGE)), 96],
    ['device', engine.bar, 96],
    ['huge', await p.must(p.process.mmap(0x200000, { pageShift: 21 })), 128],
  ];
  const iovas = [0n, 0xfedf8000n, 1n << 40n, (1n << 48n) - 8n * page, 0x7fff000n];
  for (const [i, [, va, kb]] of places.entries()) {
    expect(await p.map(container, { vaddr: BigInt(va), iova: iovas[i]!, size: 8n * page })).toBeUndefined();
    expect(await p.lockedKb()).toBe(kb);
  }
  // The engine moves a byte from the first to each of the others that are memory.
  for (const i of [1, 2, 4]) {
    await p.must(p.process.write(places[0]![1], Uint8Array.of(0x90 + i)));
    await p.copy(engine, iovas[0]!, iovas[i]! + 7n * page, 1);
    expect(await p.byteAt(BigInt(places[i]![1]) + 7n * page)).toBe(0x90 + i);
  }
  expect(await p.unmap(container, { flags: 2 })).toBe(40n * page);
  expect(await p.lockedKb()).toBe(0);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('80: the same memory as often as it is wanted, each time charged', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container } = await p.ready();
  const va = await p.memory(PAGE);
  for (let i = 1; i <= 50; i++) {
    expect(await p.map(container, { vaddr: va, iova: BigInt(i) * IOVA, size: page })).toBeUndefined();
    expect(await p.lockedKb()).toBe(4 * i);
  }
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
