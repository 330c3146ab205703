import { Lab, NOTHING } from './support/lab.js';
import { ALL, APERTURE, PAGE } from './support/program.js';
import { hwQueue, virtual } from './support/viommus.js';

it('84: memory of a hardware queue cannot be unmapped until the queue is destroyed: EBUSY', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const v = await virtual(p);
  const va = await p.memory(0x200000, { pageShift: 21 });
  expect(await p.map(v.ioas, APERTURE, va, 0x200000)).toBeUndefined();
  expect(await p.map(v.ioas, APERTURE + 0x400000n, va, PAGE)).toBeUndefined();
  const first = (await hwQueue(p, v.viommu, 0, APERTURE, 2 * PAGE)) as number;
  const second = (await hwQueue(p, v.viommu, 1, APERTURE + 0x10000n, PAGE)) as number;
  expect([typeof first, typeof second]).toEqual(['number', 'number']);
  for (const length of [0x200000n, ALL - APERTURE]) expect(await p.unmap(v.ioas, APERTURE, length)).toBe('EBUSY');
  // Other areas are free to go, those before it even in a call that fails.
  expect(await p.unmap(v.ioas, APERTURE + 0x400000n, PAGE)).toBe(BigInt(PAGE));
  // The later queue holds the earlier one; each of them is enough to keep the memory.
  expect(await p.destroy(first)).toBe('EBUSY');
  expect(await p.destroy(second)).toBeUndefined();
  expect(await p.unmap(v.ioas, APERTURE, 0x200000)).toBe('EBUSY');
  expect(await p.destroy(v.viommu)).toBe('EBUSY');
  expect(await p.destroy(first)).toBeUndefined();
  expect(await p.unmap(v.ioas, APERTURE, 0x200000)).toBe(0x200000n);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('84: the fd is closed with queues alive: memory and objects go all the same', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const v = await virtual(p);
  const va = await p.memory(PAGE);
  expect(await p.map(v.ioas, APERTURE, va, PAGE)).toBeUndefined();
  expect(await hwQueue(p, v.viommu, 0, APERTURE, PAGE)).toEqual(expect.any(Number));
  await p.close(p.fd);
  expect(lab.held()).toMatchObject({ processes: 1 });
  expect(lab.held()).not.toHaveProperty('pins');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
