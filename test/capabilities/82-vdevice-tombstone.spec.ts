import { Lab, NOTHING } from './support/lab.js';
import { nested, vdevice, virtual } from './support/viommus.js';

it('82: when the device goes first its vDEVICE goes too, and the id stays dead until the fd is closed', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const v = await virtual(p);
  const dead = await vdevice(p, v.viommu, v.device, 5n);
  expect(typeof dead).toBe('number');
  const guest = (await nested(p, v.device, v.viommu)) as number;
  expect(await p.replaceErrno(v.object, guest)).toBeUndefined();
  expect(await p.destroy(v.object)).toBeUndefined();

  expect(await p.destroy(dead as number)).toBe('ENOENT');
  // The vIOMMU is free of it: its id inside may be given to another device, and the number is never used again.
  const other = await p.mock(v.ioas);
  const next = await vdevice(p, v.viommu, other.device, 5n);
  expect(typeof next).toBe('number');
  for (let i = 0; i < 40; i++) expect(await p.ioas()).not.toBe(dead);
  expect(await p.destroy(dead as number)).toBe('ENOENT');
  expect(await p.destroy(v.viommu)).toBe('EBUSY');
  expect(await p.destroy(next as number)).toBeUndefined();
  expect(await p.destroy(guest)).toBeUndefined();
  expect(await p.destroy(v.viommu)).toBeUndefined();
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('82: destroyed in time it leaves nothing, and the number is used again', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const v = await virtual(p);
  const id = (await vdevice(p, v.viommu, v.device, 5n)) as number;
  expect(await vdevice(p, v.viommu, v.device, 6n)).toBe('EEXIST');
  expect(await p.destroy(id)).toBeUndefined();
  expect(await p.ioas()).toBe(id);
  expect(await p.destroy(v.object)).toBeUndefined();
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
