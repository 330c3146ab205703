/** Whose functions are these? (semantics D6.3) */
import { GROUPS, groupsApi, iommufdApi, sysApi } from '@vfiolab/core';
import { ok } from '@vfiolab/uapi';
import { Bench } from '../../core/src/testing/bench.js';
import { IommufdCore } from './iommufd-core.js';
import { ALONE, FIRST, SIBLING } from './testing/bench.js';

const CLIENT = 'client:one';
const DEVICE = 'device:0000:00:1e_1';

it('a context knows its devices by id, and the neighbours of their groups as its own', () => {
  const claimDma = () => ok({ group: 9, members: [FIRST, SIBLING] });
  const groups = { api: groupsApi, answers: { claimDma, releaseDma: () => undefined } };
  const bench = new Bench('iommufd', new IommufdCore(), { groups });
  const opened = bench.get(CLIENT, sysApi.open, { path: '/dev/iommu', flags: 2 });
  const token = opened.ok ? opened.value.token : '';
  const bound = bench.get(DEVICE, iommufdApi.bind, { token, client: CLIENT, bdf: SIBLING });
  if (!bound.ok) throw new Error(bound.errno);
  const { context, device } = bound.value;
  const ids = (of: number) => bench.get(GROUPS, iommufdApi.deviceIds, { context: of, bdfs: [FIRST, SIBLING, ALONE] });
  expect([ids(context), ids(context + 1)]).toEqual([
    [0, device, -1],
    [-1, -1, -1],
  ]);
  bench.get(DEVICE, iommufdApi.unbind, bound.value);
  expect(ids(context)).toEqual([-1, -1, -1]);
});
