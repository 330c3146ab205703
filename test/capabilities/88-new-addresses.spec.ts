import { ContainerLab, IOVA, NOTHING, PAGE, PAIR } from './support/container-lab.js';

const page = BigInt(PAGE);
const [ALL, VADDR] = [2, 4];

it('88: unmap the addresses, exec, map the new ones; DMA goes on all the while; nobody attaches meanwhile', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready();
  const engine = await p.engine(groups[0]!);
  const shared = await p.must(p.process.memfds.create());
  await p.must(p.process.memfds.truncate(shared, 2 * PAGE));
  const before = BigInt(await p.must(p.process.mapFile(shared, 0, 2 * PAGE)));
  expect(await p.map(container, { vaddr: before, iova: IOVA, size: 2n * page })).toBeUndefined();
  expect(await p.unmap(container, { flags: ALL | VADDR })).toBe(2n * page);
  const late = await p.group(PAIR[0]);
  expect(await p.setContainer(late, container)).toBe('EBUSY');
  await p.must(p.process.exec());
  expect(await p.lockedKb()).toBe(0);
  const after = BigInt(await p.must(p.process.mapFile(shared, 0, 2 * PAGE)));
  const bar = await p.must(p.process.mapDevice(engine.fd, 0, 0x100000));
  await p.must(p.process.write(Number(after), Uint8Array.of(0x5b)));
  await p.copy({ ...engine, bar }, IOVA, IOVA + page, 1);
  expect(await p.byteAt(after + page)).toBe(0x5b);
  expect(await p.map(container, { flags: VADDR, vaddr: after, iova: IOVA, size: 2n * page })).toBeUndefined();
  expect(await p.lockedKb()).toBe(8);
  expect(await p.setContainer(late, container)).toBe(0);
  expect(await p.unmap(container, { iova: IOVA, size: 2n * page })).toBe(2n * page);
  expect(await p.lockedKb()).toBe(0);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
