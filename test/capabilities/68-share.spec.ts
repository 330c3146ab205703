/** Capability 68: SHARE, for comparison: less to write, and a mistake that no call tells about. Off unless asked for. */
import { IOVA, NOTHING, PAGE } from './support/container-lab.js';
import { ALONE, OTHER, program2010, SIBLINGS } from './support/designs-2010.js';

it('68: a device has a domain of its own from its first MAP on, and others may share it', async () => {
  const t = await program2010();
  const [one, two] = [await t.device(ALONE), await t.device(OTHER)];
  const va = await t.mapped(one);
  expect(await t.sees(one, va)).toBe(true);
  expect(await t.share(two, one)).toBe(0);
  expect(await t.sees(two, va)).toBe(true);
  expect(await t.unmap(two, IOVA, 2n * BigInt(PAGE))).toBe(2n * BigInt(PAGE));
  expect(await t.sees(one, va)).toBe(false);
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});

it('68: the wrong way round it succeeds, and the mappings are gone', async () => {
  const t = await program2010();
  const [one, two] = [await t.device(ALONE), await t.device(OTHER)];
  const va = await t.mapped(one);
  expect(await t.p.lockedKb()).toBe(8);
  expect(await t.share(one, two)).toBe(0);
  expect(await t.p.lockedKb()).toBe(0);
  expect(await t.sees(one, va)).toBe(false);
  expect(t.lab.held()).toMatchObject({ 'iommu domains': 1, 'container containers': 1 });
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});

it('68: sharing with oneself does nothing; what is no device is EBADF', async () => {
  const t = await program2010();
  const one = await t.device(ALONE);
  const va = await t.mapped(one);
  expect(await t.share(one, one)).toBe(0);
  expect(await t.sees(one, va)).toBe(true);
  for (const fd of [await t.domain(), await t.p.container(), await t.p.group(OTHER), 99])
    expect(await t.share(one, fd)).toBe('EBADF');
  expect(await t.share(await t.domain(), one)).toBe('EBADF');
  expect(await t.sees(one, va)).toBe(true);
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});

it('68: functions of one group have one domain: a member cannot take the others along', async () => {
  const t = await program2010();
  const [one, two, other] = [await t.device(SIBLINGS[0]), await t.device(SIBLINGS[1]), await t.device(OTHER)];
  const va = await t.mapped(one);
  expect(await t.map(two, va, { iova: 2n * IOVA })).toBe('EBUSY');
  expect(await t.share(two, one)).toBe(0);
  expect(await t.share(one, other)).toBe('EBUSY');
  expect(await t.sees(two, va)).toBe(true);
  await t.p.close(two);
  expect(await t.share(one, other)).toBe(0);
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});

it('68: two that ask each other at the same time both get an answer', async () => {
  const t = await program2010();
  const [one, two] = [await t.device(ALONE), await t.device(OTHER)];
  expect(await Promise.all([t.share(one, two), t.share(two, one)])).toEqual([0, 0]);
  expect(t.lab.broken()).toEqual([]);
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});

it('68: the program is killed in the middle', async () => {
  const t = await program2010();
  const [one, two] = [await t.device(ALONE), await t.device(OTHER)];
  await t.mapped(one);
  await t.share(two, one);
  const answers = Promise.all([t.share(one, two), t.p.run(t.p.process.exit())]);
  await answers.catch(() => undefined);
  expect(await t.lab.afterwards(t.p).catch(() => ({ broken: t.lab.broken(), held: t.lab.held() }))).toEqual(NOTHING);
});
