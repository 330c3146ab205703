/**
 * Capability 64: a domain that is in use by a device of another sort. The machine has two IOMMUs: the first makes every access
 * cache-coherent, the second cannot.
 */
import { NOTHING } from './support/container-lab.js';
import { ALONE, OTHER, program2010, SIBLINGS } from './support/designs-2010.js';

const boot = () => program2010('two-units', { iommu: 'intel-vtd-scalable' });

it('64: BIND is refused with EINVAL, and the device is where it was', async () => {
  const t = await boot();
  const domain = await t.domain();
  const va = await t.mapped(domain);
  const [first, other] = [await t.device(ALONE), await t.device(OTHER)];
  expect(await t.bind(first, domain)).toBe(0);
  expect(await t.bind(other, domain)).toBe('EINVAL');
  expect(await t.share(other, first)).toBe('EINVAL');
  expect(t.lab.broken()).toEqual([]);
  expect(await t.sees(first, va)).toBe(true);
  const own = await t.domain();
  expect(await t.map(own, va, { size: 0x2000n })).toBeUndefined();
  expect(await t.bind(other, own)).toBe(0);
  expect(await t.sees(other, va)).toBe(true);
  // A SHARE that is refused leaves the device in the domain that it has.
  expect(await t.share(other, first)).toBe('EINVAL');
  expect(await t.sees(other, va)).toBe(true);
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});

it('64: only a device in use makes a domain of one sort: when it has gone, the other may come', async () => {
  const t = await boot();
  const domain = await t.domain();
  const va = await t.mapped(domain);
  const first = await t.device(ALONE);
  expect(await t.bind(first, domain)).toBe(0);
  await t.p.close(first);
  const other = await t.device(OTHER);
  expect(await t.bind(other, domain)).toBe(0);
  expect(await t.sees(other, va)).toBe(true);
  // And a coherent device goes into a domain that does not promise it.
  const sibling = await t.device(SIBLINGS[0]);
  expect(await t.bind(sibling, domain)).toBe(0);
  expect(await t.sees(sibling, va)).toBe(true);
  expect(await t.lab.afterwards(t.p)).toEqual(NOTHING);
});

it('64: a container of type 1 makes a second domain for such a device, and maps in both', async () => {
  const t = await boot();
  const { p } = t;
  const { container, groups } = await p.ready([ALONE, OTHER]);
  expect(t.lab.host.figures('iommu')['domains']).toBe(2);
  const va = await p.memory(0x2000, 0x21);
  expect(await p.map(container, { vaddr: va, iova: 0x100000n, size: 0x2000n })).toBeUndefined();
  const engines = [await p.engine(groups[0]!, ALONE), await p.engine(groups[1]!, OTHER)];
  for (const { fd } of engines) expect(await t.sees(fd, va)).toBe(true);
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});
