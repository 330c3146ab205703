/** Capability 62: a host that is out of domains says so, by the call that would have needed one, and nothing is lost. */
import { NOTHING, TYPE1_V2 } from './support/container-lab.js';
import { ALONE, OTHER, program2010, SIBLINGS } from './support/designs-2010.js';

it.each(['intel-vtd', 'amd-vi'])('62: BIND of the third device to a third domain is ENOSPC on %s', async (iommu) => {
  const t = await program2010('few-domains', { iommu });
  const { p } = t;
  const devices = [await t.device(ALONE), await t.device(OTHER), await t.device(SIBLINGS[0])];
  const domains = [await t.domain(), await t.domain(), await t.domain()];
  const va = await t.mapped(domains[2]!);
  expect(await t.bind(devices[0]!, domains[0]!)).toBe(0);
  expect(await t.bind(devices[1]!, domains[1]!)).toBe(0);
  const before = t.lab.held();
  expect(await t.bind(devices[2]!, domains[2]!)).toBe('ENOSPC');
  expect(t.lab.held()).toEqual(before);
  expect(t.lab.broken()).toEqual([]);
  // In the design of SHARE it is the first use of the device that fails, whatever that is.
  expect(await t.map(devices[2]!, va)).toBe('ENOSPC');
  expect(t.lab.held()).toEqual(before);
  expect(await t.share(devices[2]!, devices[1]!)).toBe(0);
  await p.close(devices[0]!);
  await p.close(devices[2]!);
  const again = await t.device(SIBLINGS[0]);
  expect(await t.bind(again, domains[2]!)).toBe(0);
  expect(await t.sees(again, va)).toBe(true);
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});

it.each(['intel-vtd', 'amd-vi'])(
  '62: the third container is ENOSPC too on %s, and can be used when one has gone',
  async (iommu) => {
    const { p, lab } = await program2010('few-domains', { iommu });
    const first = await p.ready([ALONE]);
    await p.ready([OTHER]);
    const [group, container] = [await p.group(SIBLINGS[0]), await p.container()];
    expect(await p.setContainer(group, container)).toBe(0);
    const before = lab.held();
    expect(await p.setIommu(container, TYPE1_V2)).toBe('ENOSPC');
    expect(lab.held()).toEqual(before);
    await p.close(first.groups[0]!);
    expect(await p.setIommu(container, TYPE1_V2)).toBe(0);
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  },
);
