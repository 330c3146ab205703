import { deviceApi, groupsApi, GROUPS } from '@vfiolab/core';
import { decode, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO as INFO, vfio_pci_dependent_device } from '@vfiolab/uapi';
import { bench, boundBench, type Client, type IoctlOptions } from '../testing/client.js';
import { EDU } from '../testing/functions.js';
import { CLIENT } from '../testing/harness.js';

const REACH = [
  { bdf: '0000:07:01.0', group: 7, inSet: true },
  { bdf: '0001:07:02.3', group: 9, inSet: true },
];
const room = (count: number): IoctlOptions => ({ tail: new Uint8Array(8 * count) });

function ask(c: Client, dev: string, options: IoctlOptions = room(8)) {
  const { errno, out, bytes } = c.ioctl(dev, INFO, { flags: 1 }, options);
  const read = (i: number) => decode(vfio_pci_dependent_device, bytes, 12 + 8 * i);
  const devices = Array.from({ length: out.count }, (_, i) => read(i));
  return { errno, flags: out.flags, count: out.count, devices: errno ? [] : devices };
}

/** A file that was opened through the group. */
function viaGroup(reach: (typeof REACH)[number][]) {
  const c = bench(EDU);
  c.h.world.reach = reach;
  const opened = c.h.ask(deviceApi.openInGroup, { client: CLIENT, context: 0 }, GROUPS);
  if (!opened.ok) throw new Error(opened.errno);
  return { c, dev: opened.value.token };
}

describe('through the group: the numbers of groups (trace b061)', () => {
  const { c, dev } = viaGroup(REACH);
  test('each function, and no flags', () => {
    expect(ask(c, dev)).toMatchObject({
      errno: undefined,
      flags: 0,
      count: 2,
      devices: [
        { group_id: 7, segment: 0, bus: 7, devfn: 8 },
        { group_id: 9, segment: 1, bus: 7, devfn: 19 },
      ],
    });
  });
  test.each([0, 1])('room for %i is ENOSPC, and the count tells how many there are', (count) => {
    expect(ask(c, dev, room(count))).toMatchObject({ errno: 'ENOSPC', flags: 0, count: 2 });
  });
  test('exactly enough room', () => expect(ask(c, dev, room(2)).errno).toBeUndefined());
  test('argsz 11 is EINVAL', () => expect(ask(c, dev, { argsz: 11 }).errno).toBe('EINVAL'));
  test.each<[string, IoctlOptions]>([
    ['no struct', { present: 11 }],
    ['the count cannot be written', { readOnly: true }],
    ['the array cannot be written', { argsz: 100 }],
    ['the struct cannot be written', { ...room(8), readOnly: true }],
  ])('%s: EFAULT', (_title, options) => expect(ask(c, dev, options).errno).toBe('EFAULT'));
  test('neither slot nor bus is ENODEV', () => {
    c.h.world.refusals.set(groupsApi.resetReach.name, 'ENODEV');
    expect(ask(c, dev).errno).toBe('ENODEV');
  });
  test('a function without a group is EPERM, but only when there is room', () => {
    const other = viaGroup([REACH[0]!, { ...REACH[1]!, group: undefined as never }]);
    expect([ask(other.c, other.dev).errno, ask(other.c, other.dev, room(1)).errno]).toEqual(['EPERM', 'ENOSPC']);
  });
});

describe('through the cdev: ids in the iommufd (trace b062)', () => {
  test.each<[string, [number, number], boolean, number, number[]]>([
    ['its own, and owned through the group', [2, 0], true, 3, [2, 0]],
    ['both its own', [2, 3], true, 3, [2, 3]],
    ['not owned', [2, -1], true, 1, [2, 0xffffffff]],
    ['of its group, but not vfio-pci’s', [2, 0], false, 1, [2, 0xffffffff]],
  ])('%s', (_title, [first, second], inSet, flags, ids) => {
    const { c, dev } = boundBench(EDU);
    c.h.world.reach = [REACH[0]!, { ...REACH[1]!, inSet }];
    c.h.world.ids.set(REACH[0]!.bdf, first).set(REACH[1]!.bdf, second);
    const answer = ask(c, dev);
    expect([answer.flags, answer.devices.map(({ devid }) => devid)]).toEqual([flags, ids]);
  });
});

test('before BIND it is EINVAL (trace b010)', () => {
  const c = bench(EDU);
  expect(ask(c, c.open()).errno).toBe('EINVAL');
});
