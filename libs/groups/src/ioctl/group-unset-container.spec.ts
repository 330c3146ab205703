import { groupsApi } from '@vfiolab/core';
import { groupBench } from '../testing/group-client.js';
import { CLIENT } from '../testing/machines.js';

const BDF = '0000:00:03.0';
const ACTOR = 'device:0000:00:03_0';

it('EINVAL: it is in none', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/1');
  expect(b.unset(token)).toBe('EINVAL');
  b.set(token, 10);
  expect([b.unset(token), b.unset(token)]).toEqual([0, 'EINVAL']);
});

it('leaves the container, then gives the DMA back, then lets the container go', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/1');
  b.set(token, 10);
  b.heard();
  expect(b.unset(token)).toBe(0);
  expect(b.heard()).toEqual(['container.leave', 'iommu.attach', 'container.drop']);
  expect(b.bench.core.host!.groups.get(1)!.owner.kind).toBe('none');
  expect(b.status(token)).toBe(1);
});

it('EBUSY while a device is open, of a container of VFIO (b017)', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/1');
  b.set(token, 10);
  b.bench.get(ACTOR, groupsApi.groupUse, { bdf: BDF, client: CLIENT });
  expect(b.unset(token)).toBe('EBUSY');
  b.bench.get(ACTOR, groupsApi.groupUnuse, { bdf: BDF });
  expect(b.unset(token)).toBe(0);
});

it('an iommufd is let go of, devices or not (SURPRISES 27)', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/1');
  b.set(token, 11);
  b.bench.get(ACTOR, groupsApi.groupUse, { bdf: BDF, client: CLIENT });
  b.heard();
  expect(b.unset(token)).toBe(0);
  expect(b.heard()).toEqual(['iommufd.compatDrop']);
});
