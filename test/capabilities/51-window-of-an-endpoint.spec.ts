import { NOTHING } from './support/container-lab.js';
import { ALONE, BRIDGED, OTHER, powerLab, registeredMemory, TCE, V1, V2 } from './support/power-lab.js';

it('51: devices behind a bridge are one group and have one window; a device alone has its own', async () => {
  const lab = await powerLab();
  const p = await lab.program('vmm');
  const members = await p.must(p.process.listdir(`/sys/bus/pci/devices/${BRIDGED[0]}/iommu_group/devices`));
  expect(members).toEqual(BRIDGED);
  const { container, groups } = await p.ready([BRIDGED[0]], V2);
  const alone = await p.ready([ALONE], V2);
  const [one, two] = [await p.engine(groups[0]!, BRIDGED[0]), await p.engine(groups[0]!, BRIDGED[1])];
  const apart = await p.engine(alone.groups[0]!, ALONE);
  const va = await registeredMemory(p, container, 1, 0x11);
  expect(await p.map(container, { vaddr: va, iova: 0n, size: 2n * TCE })).toBeUndefined();
  for (const [i, engine] of [one, two].entries()) {
    await p.copy(engine, 0n, TCE + BigInt(i), 1);
    expect(await p.byteAt(va + TCE + BigInt(i))).toBe(0x11);
  }
  await p.copy(apart, 0n, TCE + 2n, 1);
  expect(await p.byteAt(va + TCE + 2n)).toBe(0x11);
  await p.must(p.process.write(Number(va + TCE), new Uint8Array(8).fill(0x77)));
  await p.copy(apart, 0n, TCE, 1);
  expect(await p.byteAt(va + TCE)).toBe(0x77);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('51: v1 has one group in a container, v2 more, which then share its windows', async () => {
  const lab = await powerLab();
  const p = await lab.program('vmm');
  await expect(p.ready([ALONE, OTHER], V1)).rejects.toThrow('SET_IOMMU: EBUSY');
  const q = await lab.program('other');
  await lab.host.run(p.process.exit());
  const { container, groups } = await q.ready([ALONE, OTHER], V2);
  const engines = [await q.engine(groups[0]!, ALONE), await q.engine(groups[1]!, OTHER)];
  const va = await registeredMemory(q, container, 1, 0x22);
  expect(await q.map(container, { vaddr: va, iova: 0n, size: 2n * TCE })).toBeUndefined();
  for (const engine of engines) {
    await q.must(q.process.write(Number(va + TCE), Uint8Array.of(0)));
    await q.copy(engine, 0n, TCE, 1);
    expect(await q.byteAt(va + TCE)).toBe(0x22);
  }
  expect(await lab.afterwards(q)).toEqual(NOTHING);
});
