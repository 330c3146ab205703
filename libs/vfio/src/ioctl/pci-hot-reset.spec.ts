import { deviceApi, type FdArgument, groupsApi, GROUPS } from '@vfiolab/core';
import { type Errno, VFIO_DEVICE_PCI_HOT_RESET } from '@vfiolab/uapi';
import { bench, boundBench, type Client, eventFd, type IoctlOptions } from '../testing/client.js';
import { EDU } from '../testing/functions.js';
import { CLIENT } from '../testing/harness.js';

const group = (fd: number): FdArgument => ({ fd, token: `g${fd}`, owner: GROUPS });
const PASSED = [group(5), group(6), eventFd(10, 'e10')];
const REACH = ['0000:07:01.0', '0000:07:02.0'].map((bdf) => ({ bdf, group: 7, inSet: true }));

function ask(c: Client, dev: string, fds: number[], options: IoctlOptions & { count?: number; flags?: number } = {}) {
  const { count = fds.length, flags = 0, ...rest } = options;
  const tail = new Uint8Array(Int32Array.from(fds).buffer);
  return c.ioctl(dev, VFIO_DEVICE_PCI_HOT_RESET, { flags, count }, { tail, fds: PASSED, ...rest }).errno;
}

function viaGroup(): { c: Client; dev: string } {
  const c = bench(EDU);
  c.h.world.reach = REACH;
  const opened = c.h.ask(deviceApi.openInGroup, { client: CLIENT, context: 0 }, GROUPS);
  if (!opened.ok) throw new Error(opened.errno);
  return { c, dev: opened.value.token };
}

describe('through the group (trace b061)', () => {
  const { c, dev } = viaGroup();
  test('groups hears which files the client names', () => {
    expect(ask(c, dev, [6, 5])).toBeUndefined();
    const files = ['g6'.padEnd(8), 'g5'.padEnd(8)];
    expect(c.h.world.hotResets.splice(0)).toEqual([{ bdf: EDU.bdf, client: CLIENT, files, context: 0 }]);
  });
  test.each<[string, Errno, number[], Parameters<typeof ask>[3]]>([
    ['a zero array', 'EINVAL', [], {}],
    ['flags', 'EINVAL', [5], { flags: 1 }],
    ['argsz 11', 'EINVAL', [5], { argsz: 11 }],
    ['more groups than functions, before the array is read', 'EINVAL', [5], { count: 3 }],
    ['an array that is not there', 'EFAULT', [], { count: 1 }],
    ['no struct', 'EFAULT', [], { present: 8 }],
    ['no file', 'EBADF', [-1], {}],
    ['a file that is no group', 'EINVAL', [10], {}],
    ['the first bad one decides', 'EINVAL', [10, -1], {}],
    ['the first bad one decides', 'EBADF', [99, 10], {}],
  ])('%s: %s', (_title, errno, fds, options) => {
    expect(ask(c, dev, fds, options)).toBe(errno);
    expect(c.h.world.hotResets).toEqual([]);
  });
});

describe('through the cdev (trace b062)', () => {
  const { c, dev } = boundBench(EDU);
  c.h.world.reach = REACH;
  test('a zero array: the iommufd says what is the client’s', () => {
    expect(ask(c, dev, [])).toBeUndefined();
    expect(c.h.world.hotResets.splice(0)).toEqual([{ bdf: EDU.bdf, client: '', files: [], context: 7 }]);
  });
  test('an array is EINVAL', () => expect(ask(c, dev, [5])).toBe('EINVAL'));
});

describe('refusals of groups come through', () => {
  test.each<Errno>(['EINVAL', 'EBADF', 'EBUSY', 'EAGAIN', 'ENODEV'])('%s', (errno) => {
    const { c, dev } = viaGroup();
    c.h.world.refusals.set(groupsApi.hotReset.name, errno);
    expect(ask(c, dev, [5])).toBe(errno);
  });
  test('neither slot nor bus is ENODEV, after the form and before the array', () => {
    const { c, dev } = viaGroup();
    c.h.world.refusals.set(groupsApi.resetReach.name, 'ENODEV');
    expect([ask(c, dev, []), ask(c, dev, [-1]), ask(c, dev, [], { count: 1000 })]).toEqual([
      'EINVAL',
      'ENODEV',
      'ENODEV',
    ]);
  });
});
