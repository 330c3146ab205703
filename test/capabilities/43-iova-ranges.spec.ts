import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { APERTURE, PAGE } from './support/program.js';

const LAST = 0xffff_ffff_ffff_ffffn;

it('43: attach narrows the ranges, detach widens them; too little room: EMSGSIZE, with their number', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  const [ioas, device] = [await p.ioas(), await p.device(FUNCTIONS[0])];
  const free = { errno: undefined, count: 1, ranges: [[0n, LAST]], alignment: 1n };
  expect(await p.ranges(ioas)).toEqual(free);
  await device.attached(ioas);
  const narrowed = await p.ranges(ioas);
  expect(narrowed).toMatchObject({ errno: undefined, count: 2, alignment: 4096n });
  expect(narrowed.ranges[0]).toEqual([0n, 0xfedf_ffffn]);
  expect(narrowed.ranges[1]![0]).toBe(0xfef0_0000n);
  expect(await p.ranges(ioas, 1)).toEqual({
    errno: 'EMSGSIZE',
    count: 2,
    ranges: [[0n, 0xfedf_ffffn]],
    alignment: 4096n,
  });
  expect(await p.ranges(ioas, 0)).toEqual({ errno: 'EMSGSIZE', count: 2, ranges: [], alignment: 4096n });
  // MAP accepts exactly what is reported.
  const va = await p.memory(2 * PAGE);
  const [, [, last]] = narrowed.ranges as [unknown, readonly [bigint, bigint]];
  for (const [iova, errno] of [
    [0n, undefined],
    [0xfedf_f000n, undefined],
    [0xfee0_0000n, 'EINVAL'],
    [0xfeef_f000n, 'EINVAL'],
    [0xfef0_0000n, undefined],
    [last + 1n - BigInt(PAGE), undefined],
    [last + 1n, 'EINVAL'],
    [0x800n, 'EINVAL'],
  ] as const)
    expect([iova, await p.map(ioas, iova, va, PAGE)]).toEqual([iova, errno]);
  expect(await device.detach()).toBeUndefined();
  expect(await p.ranges(ioas)).toEqual(free);
  expect(await p.map(ioas, 0xfee0_0000n, va, PAGE)).toBeUndefined();
  expect(await device.attach(ioas)).toBe('EADDRINUSE');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('43: the ranges are those of all devices together, and each takes its own away again', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const ioas = await p.ioas();
  const [a, b] = [await p.mock(ioas), await p.mock(ioas)];
  const mocked = { errno: undefined, count: 1, ranges: [[APERTURE, 0x7fff_ffffn]], alignment: 2048n };
  expect(await p.ranges(ioas)).toEqual(mocked);
  expect(await p.destroy(a.object)).toBeUndefined();
  expect(await p.ranges(ioas)).toEqual(mocked);
  expect(await p.destroy(b.object)).toBeUndefined();
  expect(await p.ranges(ioas)).toMatchObject({ ranges: [[0n, LAST]], alignment: 1n });
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
