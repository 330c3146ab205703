import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { PAGE, pattern } from './support/program.js';

it('25: one /dev/iommu, three IOAS and three devices: each device sees its own memory at the same IOVA, and no other', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  const views = [];
  for (const [i, bdf] of FUNCTIONS.slice(0, 3).entries()) {
    const [ioas, va, device] = [await p.ioas(), await p.memory(2 * PAGE), await p.device(bdf)];
    await p.write(va, pattern(16, 10 * i));
    expect(await p.map(ioas, 0x10000n, va, 2 * PAGE)).toBeUndefined();
    // Only this one's.
    expect(await p.map(ioas, 0x100000n * BigInt(i + 1), va, PAGE)).toBeUndefined();
    views.push({ ioas, va, device, hwpt: await device.attached(ioas) });
  }
  expect(new Set(views.map(({ hwpt }) => hwpt)).size).toBe(3);

  for (const [i, { va, device }] of views.entries()) {
    await device.fetch(0x10000n, 16);
    await device.store(0x10000n + BigInt(PAGE), 16);
    expect(await p.read(va + BigInt(PAGE), 16)).toEqual([...pattern(16, 10 * i)]);
  }
  for (const [i, { device }] of views.entries())
    for (const [j, other] of views.entries()) {
      const before = await p.read(other.va, 8);
      await device.fetch(0x10000n + BigInt(PAGE), 8);
      await device.store(0x100000n * BigInt(j + 1), 8);
      const after = await p.read(other.va, 8);
      if (i !== j) expect(after).toEqual(before);
      else expect(after).toEqual([...pattern(8, 10 * i)]);
    }
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
