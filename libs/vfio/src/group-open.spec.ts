import { clientAddress, deviceApi, groupsApi, GROUPS, iommufdApi, LAB, sysApi } from '@vfiolab/core';
import { fail } from '@vfiolab/uapi';
import * as uapi from '@vfiolab/uapi';
import { bench, type Client, CONFIG, iommufdFd } from './testing/client.js';
import { EDU } from './testing/functions.js';
import { CLIENT } from './testing/harness.js';

const OTHER = clientAddress('other');

/** A file opened through the group: its token, or the errno. */
function openInGroup(c: Client, context = 0, client = CLIENT): string {
  const opened = c.h.ask(deviceApi.openInGroup, { client, context }, GROUPS);
  return opened.ok ? opened.value.token : opened.errno;
}

const info = (c: Client, token: string): string | undefined =>
  c.ioctl(token, uapi.VFIO_DEVICE_GET_INFO, { argsz: 24 }).errno;

describe('opening through the group (semantics A3.6)', () => {
  test('the first asks the group, the others share what it set up; the last tells the group', () => {
    const c = bench(EDU);
    const files = [openInGroup(c), openInGroup(c), openInGroup(c)];
    expect(c.h.calls).toEqual(['groups.groupUse']);
    expect(new Set(files).size).toBe(3);
    c.pwrite(files[0]!, CONFIG + 4, '0600');
    expect(c.pread(files[1]!, CONFIG + 4, 2)).toBe('0600');
    for (const file of files) {
      expect(c.h.core.check()).toEqual([]);
      c.close(file);
    }
    expect(c.h.calls.slice(1)).toEqual(['groups.groupUnuse']);
    expect([c.h.world.claims, c.h.core.figures()]).toEqual([0, { files: 0, madeFiles: 0, bound: 0, heldEventfds: 0 }]);
  });

  test('with an iommufd the first binds and attaches, the last unbinds before it tells the group', () => {
    const c = bench(EDU);
    const files = [openInGroup(c, 7), openInGroup(c, 8)];
    expect(c.h.calls).toEqual(['groups.groupUse', 'iommufd.compatBind']);
    for (const file of files) c.close(file);
    expect(c.h.calls.slice(2)).toEqual(['iommufd.unbind', 'groups.groupUnuse']);
  });

  test('a new first open finds the function as after power-on', () => {
    const c = bench(EDU);
    const first = openInGroup(c);
    c.pwrite(first, CONFIG + 4, '0600');
    c.close(first);
    expect(c.pread(openInGroup(c), CONFIG + 4, 2)).toBe('0301');
  });

  test.each([
    ['the group refuses', groupsApi.groupUse.name, 0, 'EINVAL', 0],
    ['the group refuses', groupsApi.groupUse.name, 7, 'EPERM', 0],
    ['the iommufd refuses', iommufdApi.compatBind.name, 7, 'EPERM', 1],
    ['there is no compatibility IOAS', iommufdApi.compatBind.name, 7, 'ENODEV', 1],
  ] as const)('%s (%s, context %i): %s', (_title, method, context, errno, undone) => {
    const c = bench(EDU);
    c.h.world.refusals.set(method, errno);
    expect(openInGroup(c, context)).toBe(errno);
    expect(c.h.calls.filter((each) => each === 'groups.groupUnuse')).toHaveLength(undone);
    expect([c.h.world.claims, c.h.world.bound, c.h.core.figures()['files'], c.h.core.check()]).toEqual([0, 0, 0, []]);
    c.h.world.refusals.clear();
    expect(info(c, openInGroup(c, context))).toBeUndefined();
  });

  test('only groups may ask', () => {
    const c = bench(EDU);
    expect(c.h.ask(deviceApi.openInGroup, { client: CLIENT, context: 0 }, CLIENT)).toEqual(fail('EPERM'));
  });
});

describe('a file of the group', () => {
  const c = bench(EDU);
  const dev = openInGroup(c, 7);
  test.each<[string, unknown, () => unknown]>([
    ['has access from the start', undefined, () => info(c, dev)],
    ['is not bound by BIND', 'EINVAL', () => c.bind(dev)],
    ['knows no ATTACH (SURPRISES 33)', 'ENOTTY', () => c.attach(dev)],
    ['knows no DETACH', 'ENOTTY', () => c.ioctl(dev, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, {}).errno],
    ['is read and written', 1, () => c.pwrite(dev, CONFIG + 0x3c, '05')],
  ])('%s', (_title, answer, ask) => expect(ask()).toBe(answer));

  test('keeps a cdev from being bound, whose file is there all the same', () => {
    const cdev = c.open();
    expect([c.bind(cdev, { fds: [] }), c.bind(cdev), info(c, cdev)]).toEqual(['EBADF', 'EINVAL', 'EINVAL']);
    expect(c.ioctl(cdev, uapi.VFIO_DEVICE_BIND_IOMMUFD, { iommufd: 3 }, { fds: [iommufdFd()] }).errno).toBe('EINVAL');
  });
});

describe('removal and the end of clients', () => {
  test('an unbind waits for the files of the group, and none is opened meanwhile (b055)', () => {
    const c = bench(EDU);
    const dev = openInGroup(c);
    const removed = c.h.start(deviceApi.remove, undefined);
    expect([openInGroup(c), removed.done]).toEqual(['ENODEV', false]);
    c.close(dev);
    expect([removed.done, openInGroup(c)]).toEqual([true, 'ENODEV']);
  });

  test('an unbind waits for an open that is under way, which may still fail', () => {
    const c = bench(EDU);
    c.h.hold(groupsApi.groupUse);
    const opened = c.h.start(deviceApi.openInGroup, { client: CLIENT, context: 0 }, GROUPS);
    const removed = c.h.start(deviceApi.remove, undefined);
    expect([opened.done, removed.done]).toEqual([false, false]);
    c.h.world.refusals.set(groupsApi.groupUse.name, 'EINVAL');
    c.h.release(groupsApi.groupUse);
    expect([opened.value, removed.done]).toEqual([fail('EINVAL'), true]);
  });

  test('a client that dies while its open is under way leaves nothing', () => {
    const c = bench(EDU);
    c.h.hold(groupsApi.groupUse);
    c.h.start(deviceApi.openInGroup, { client: CLIENT, context: 0 }, GROUPS);
    const gone = c.h.start(sysApi.clientGone, { client: CLIENT }, LAB);
    expect(gone.done).toBe(false);
    c.h.release(groupsApi.groupUse);
    expect([gone.done, c.h.world.claims, c.h.core.figures()['files'], c.h.core.check()]).toEqual([true, 0, 0, []]);
  });

  test('the file lives as long as one client has it', () => {
    const c = bench(EDU);
    const dev = openInGroup(c);
    const granted = c.h.ask(sysApi.grant, { token: dev, to: OTHER }, CLIENT);
    c.h.ask(sysApi.clientGone, { client: CLIENT }, LAB);
    expect(c.h.world.claims).toBe(1);
    expect(granted.ok && c.h.ask(sysApi.close, { token: granted.value.token }, OTHER).ok).toBe(true);
    expect(c.h.world.claims).toBe(0);
  });

  test.each([0, 7])('the state is read back: files share one open (context %i)', (context) => {
    const c = bench(EDU);
    const files = [openInGroup(c, context), openInGroup(c, context)];
    const before = c.h.state('snapshot');
    c.h.restart();
    expect(c.h.state('snapshot')).toEqual(before);
    for (const file of files) c.close(file);
    expect([c.h.world.claims, c.h.world.bound, c.h.core.check()]).toEqual([0, 0, []]);
  });
});

describe('a function that its driver does not open', () => {
  const broken = { ...EDU, igd: { regions: [], address: 0x1000, refused: true } };

  test.each([0, 7])('leaves the group and the iommufd as they were (context %i)', (context) => {
    const c = bench(broken);
    expect([openInGroup(c, context), openInGroup(c, context)]).toEqual(['EINVAL', 'EINVAL']);
    expect([c.h.world.claims, c.h.world.bound, c.h.core.check()]).toEqual([0, 0, []]);
    expect(c.h.core.figures()).toEqual({ files: 0, madeFiles: 0, bound: 0, heldEventfds: 0 });
  });

  test('the same by its cdev, after the iommufd was asked', () => {
    const c = bench(broken);
    const dev = c.open();
    expect([c.bind(dev), c.bind(dev)]).toEqual(['EINVAL', 'EINVAL']);
    expect(c.h.calls.filter((each) => each.startsWith('iommufd.'))).toEqual([
      ...['iommufd.bind', 'iommufd.unbind', 'iommufd.bind', 'iommufd.unbind'],
    ]);
    expect([c.h.world.claims, c.h.world.bound]).toEqual([0, 0]);
  });
});
