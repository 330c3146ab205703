import { type Address, CONTAINER, deviceAddress, GROUPS, IOMMU, IOMMUFD, PAGES } from '@vfiolab/core';
import { machineNamed } from '@vfiolab/scenario';
import { TestHost } from '@vfiolab/sim';
import * as uapi from '@vfiolab/uapi';
import { disagreements, unpinnedEntries, wrongOwners } from './index.js';

/** In a container, alone in its group; and bound to an iommufd, alone in its own. */
const [CONTAINED, BOUND] = ['0000:00:03.0', '0000:05:00.0'];

/** A program with a device in each, attached, and a page mapped for both. */
async function host() {
  const { topology, ...machine } = machineNamed('B-type1');
  const t = await TestHost.boot({ ...machine, machine: topology, profile: '7.2' });
  const p = await t.process('program');
  const must = async <T>(work: Promise<uapi.Result<T>>): Promise<T> => {
    const r = await t.run(work);
    if (!r.ok) throw new Error(r.errno);
    return r.value;
  };
  const done = async <T extends { errno?: unknown }>(work: Promise<T>): Promise<T> => {
    const r = await t.run(work);
    if (r.errno !== undefined) throw new Error(r.errno as string);
    return r;
  };
  const va = BigInt(await must(p.mmap(8192)));
  const link = await must(p.readlink(`/sys/bus/pci/devices/${CONTAINED}/iommu_group`));
  const group = await must(p.open(`/dev/vfio/${link.split('/').pop()}`));
  const container = await must(p.open('/dev/vfio/vfio'));
  await done(p.ioctlPlain(group, uapi.VFIO_GROUP_SET_CONTAINER, container));
  await done(p.ioctlPlain(container, uapi.VFIO_SET_IOMMU, 3));
  await done(p.ioctl(container, uapi.VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr: va, iova: 0x100000n, size: 8192n }));
  await done(p.ioctlPlain(group, uapi.VFIO_GROUP_GET_DEVICE_FD, CONTAINED));
  const iommufd = await must(p.open('/dev/iommu'));
  const { out_ioas_id: ioas } = (await done(p.ioctl(iommufd, uapi.IOMMU_IOAS_ALLOC))).out;
  const area = { ioas_id: ioas, flags: 7, user_va: va, length: 4096n, iova: 0x100000n };
  await done(p.ioctl(iommufd, uapi.IOMMU_IOAS_MAP, area));
  const [minor] = await must(p.listdir(`/sys/bus/pci/devices/${BOUND}/vfio-dev`));
  const cdev = await must(p.open(`/dev/vfio/devices/${minor}`));
  await done(p.ioctl(cdev, uapi.VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd }));
  await done(p.ioctl(cdev, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: ioas }));
  return (address: Address) => t.host.actor(address)!.machine.core;
}
type CoreOf = Awaited<ReturnType<typeof host>>;

/** A private part, to break it. */
const part = (of: object, name: string) => (of as Record<string, any>)[name];
const groupOf = (of: CoreOf, bdf: string) => part(part(of(GROUPS), 'host'), 'devices').get(bdf).group;
const container = (of: CoreOf) => part(of(CONTAINER), 'containers').get(1);
const context = (of: CoreOf) => [...part(of(IOMMUFD), 'contexts').values()][0];
const vfioGroup = (of: CoreOf) => part(part(of(GROUPS), 'host').devices.get(CONTAINED), 'vfio').group;
const iommuGroup = (of: CoreOf, bdf: string) => part(of(IOMMU), 'unit').groups.get(groupOf(of, bdf).id);
const domainOf = (of: CoreOf, bdf: string) => part(of(IOMMU), 'domains').get(iommuGroup(of, bdf).attached);

it('services that agree have nothing to say', async () => {
  const of = await host();
  expect([...disagreements(of), ...wrongOwners(of), ...unpinnedEntries(of)]).toEqual([]);
});

it.each([CONTAINED, BOUND])('an entry for %s that leads to what is not pinned is told (I02)', async (bdf) => {
  const of = await host();
  const domain = domainOf(of, bdf);
  const frame = domain.table.lookup(0x100);
  const { frames } = of(PAGES) as unknown as {
    frames: { pins: { add(first: number, end: number, by: number): void } };
  };
  // Both devices show the same page: it is pinned twice.
  frames.pins.add(frame, frame + 1, -2);
  expect(unpinnedEntries(of)).toContainEqual(
    expect.stringMatching(`I02: domain ${domain.id} reaches .* not all pinned`) as unknown,
  );
});

it('an entry beyond the memory of the host is a device, which nobody pins', async () => {
  const of = await host();
  const { table } = domainOf(of, BOUND);
  const { frames } = of(PAGES) as unknown as { frames: { total: number } };
  table.map(0x900, frames.total, 1, 3, 0);
  expect(table.lookup(0x900)).toBe(frames.total);
  expect(unpinnedEntries(of)).toEqual([]);
});

it.each<[string, (of: CoreOf) => unknown, RegExp]>([
  [
    'an owner who does not know',
    (of) => (groupOf(of, BOUND).owner = { kind: 'context', context: 99 }),
    /I14: group \d+ has 1 claims of context 99, which has 0 devices/,
  ],
  [
    'a claim too many',
    (of) => groupOf(of, BOUND).count++,
    /I14: group \d+ has 2 claims of context \d+, which has 1 devices/,
  ],
  [
    'a context that is no owner',
    (of) => (groupOf(of, BOUND).owner = { kind: 'none' }),
    /I14: context \d+ has 1 devices of group \d+, whose owner is none/,
  ],
  [
    'a container that is no owner',
    (of) => (groupOf(of, CONTAINED).owner = { kind: 'container', container: 7 }),
    /I12: group \d+ is owned by container 7/,
  ],
  [
    'a group whose DMA is not blocked',
    (of) => (iommuGroup(of, CONTAINED).attached = -1),
    /I56: group \d+ is owned by container/,
  ],
  [
    'a group that nobody owns in a domain',
    (of) => (groupOf(of, CONTAINED).owner = { kind: 'none' }),
    /I56: group \d+ is owned by none/,
  ],
  [
    'a detached group in a domain',
    (of) => {
      for (const g of context(of).igroups.values()) g.hwpt = undefined;
    },
    /I56: group \d+ is owned by context/,
  ],
  [
    'a group in no container',
    (of) => (container(of).groups = []),
    /I15: group \d+ in container 1, and the container does not know/,
  ],
  [
    'a group in a container that nobody put there',
    (of) => (vfioGroup(of).backing = { kind: 'none' }),
    /I15: group \d+ in container 1, and nobody put it there/,
  ],
  [
    'a cdev claim of nobody',
    (of) => part(of(GROUPS), 'host').devices.get(CONTAINED).cdevClaims++,
    /I16: 0000:00:03.0 has 1 cdev claims, and is not bound/,
  ],
  [
    'a bound cdev without a claim',
    (of) => part(of(GROUPS), 'host').devices.get(BOUND).cdevClaims--,
    /I16: 0000:05:00.0 has 0 cdev claims, and is bound/,
  ],
  [
    'a device that its group thinks closed',
    (of) => (part(of(GROUPS), 'host').devices.get(CONTAINED).vfio.uses = []),
    /I16: 0000:00:03.0 is open through its group/,
  ],
  [
    'a driver that has gone',
    (of) => ((of(deviceAddress(BOUND)) as any).driver = undefined),
    /I16: 0000:05:00.0 is bound to a vfio driver/,
  ],
  ['a domain of nobody', (of) => (container(of).backend.domains = []), /I27: nobody has domain \d+/],
  ['a store of nobody', (of) => container(of).backend.mappings.sorted.pop(), /I27: nobody has store \d+/],
  [
    'a page of a container that no domain shows',
    (of) => domainOf(of, CONTAINED).table.unmap(0x101, 1),
    /I03: domain \d+ maps 1 granules, what is mapped has 2/,
  ],
  [
    'a page of a container that is not pinned',
    (of) => part(of(PAGES), 'stores').get(1).cover.add(1, 2, -1),
    /I20: slot 1 of store 1 is covered 0 times/,
  ],
])('%s is found', async (_what, spoil, sentence) => {
  const of = await host();
  spoil(of);
  expect([...disagreements(of), ...wrongOwners(of)].join('\n')).toMatch(sentence);
});
