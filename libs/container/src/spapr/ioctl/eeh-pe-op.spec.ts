import { EEH, power, V1, V2 } from '../testing/power.js';

const [DISABLE, ENABLE, GET_STATE, CONFIGURE, INJECT] = [0, 1, 4, 8, 9];

it('operations of a PE without errors succeed, and its state is normal, on v1 too (p060, p063)', async () => {
  for (const version of [V1, V2]) {
    const { b, fd } = await power(version);
    for (const op of [DISABLE, ENABLE, 2, 3, GET_STATE, 6, GET_STATE, 5, 7, 5, CONFIGURE])
      expect(await b.ioctl(fd, EEH, { op })).toMatchObject({ ret: 0, errno: undefined });
  }
});

it.each([
  ['argsz', { argsz: 11, op: GET_STATE }, 'EINVAL'],
  ['a flag', { flags: 1, op: GET_STATE }, 'EINVAL'],
  ['an unknown operation', { op: 10 }, 'EINVAL'],
  ['an injection without its error', { argsz: 39, op: INJECT }, 'EINVAL'],
  ['a function that is none', { op: INJECT, err: { func: 20 } }, 'EINVAL'],
  ['a type that is none', { op: INJECT, err: { type: 2, func: 4 } }, 'ERANGE'],
  ['a function that is none comes before the type', { op: INJECT, err: { type: 2, func: 20 } }, 'EINVAL'],
  ['DMA, which the firmware does not inject', { op: INJECT, err: { func: 12 } }, 'EIO'],
  ['an access to config space', { op: INJECT, err: { type: 1, func: 5 } }, undefined],
])('%s: see p060, p061', async (_what, fields, errno) => {
  const { b, fd } = await power(V2);
  expect((await b.ioctl(fd, EEH, fields)).errno).toBe(errno);
});

it('without EEH on the platform: ENODEV, before the argument is looked at', async () => {
  const { b, fd } = await power(V2, { iommu: 'ppc64-pseries' });
  expect((await b.plain(fd, EEH.nr, 0)).errno).toBe('ENODEV');
});
