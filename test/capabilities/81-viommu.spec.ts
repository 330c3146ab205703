import { Lab, NOTHING } from './support/lab.js';
import { nested, vdevice, virtual, viommuOn } from './support/viommus.js';

it('81: a vIOMMU stands for one IOMMU: devices behind it share it, each with an id of its own', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const v = await virtual(p);
  const other = await p.mock(v.ioas);
  expect(await vdevice(p, v.viommu, v.device, 1n)).toEqual(expect.any(Number));
  expect(await vdevice(p, v.viommu, other.device, 1n)).toBe('EEXIST');
  expect(await vdevice(p, v.viommu, other.device, 2n)).toEqual(expect.any(Number));
  const tables = [(await nested(p, v.device, v.viommu)) as number, (await nested(p, other.device, v.viommu)) as number];
  expect(await p.replaceErrno(v.object, tables[1]!)).toBeUndefined();
  expect(await p.replaceErrno(other.object, tables[0]!)).toBeUndefined();
  // A second vIOMMU on the same parent is another guest's view: a device is in one of them.
  const second = await viommuOn(p, v.device, v.parent);
  expect(await vdevice(p, second, v.device, 1n)).toBe('EEXIST');
  expect(await p.destroy(v.viommu)).toBe('EBUSY');
  expect(await p.destroy(second)).toBeUndefined();
  expect(await p.destroy(v.parent)).toBe('EBUSY');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
