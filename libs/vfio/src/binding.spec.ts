import { groupsApi, IOMMUFD, iommufdApi, LAB, PAGES, pagesApi, sysApi } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { bench, boundBench, CONFIG, iommufdFd } from './testing/client.js';
import { EDU } from './testing/functions.js';

describe('before BIND everything but BIND is EINVAL (trace b010)', () => {
  const c = bench(EDU);
  const dev = c.open();
  test.each<[string, () => unknown]>([
    ['GET_INFO', () => c.ioctl(dev, uapi.VFIO_DEVICE_GET_INFO, {}).errno],
    ['GET_REGION_INFO', () => c.ioctl(dev, uapi.VFIO_DEVICE_GET_REGION_INFO, { index: 0 }).errno],
    ['GET_IRQ_INFO', () => c.ioctl(dev, uapi.VFIO_DEVICE_GET_IRQ_INFO, { index: 0 }).errno],
    ['SET_IRQS', () => c.setIrqs(dev, 36, 0, 0, 0)],
    ['RESET', () => c.plain(dev, uapi.VFIO_DEVICE_RESET.nr)],
    ['ATTACH', () => c.attach(dev)],
    ['DETACH', () => c.ioctl(dev, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, {}).errno],
    ['FEATURE', () => c.plain(dev, 0x3b72)],
    ['an unknown ioctl', () => c.plain(dev, 0x3bff)],
    ['pread', () => c.pread(dev, CONFIG, 4)],
    ['pread of no bytes', () => c.pread(dev, CONFIG, 0)],
    ['pwrite', () => c.pwrite(dev, CONFIG + 4, '0600')],
  ])('%s', (_name, ask) => {
    expect(ask()).toBe('EINVAL');
  });

  test('asks nobody anything', () => {
    expect(c.h.calls).toEqual([]);
  });
});

test('an unknown ioctl of a bound file is ENOTTY', () => {
  const { c, dev } = boundBench(EDU);
  expect([c.plain(dev, 0x3bff), c.plain(dev, 0x3b72)]).toEqual(['ENOTTY', 'ENOTTY']);
});

describe('refusals of BIND (trace b011)', () => {
  const c = bench(EDU);
  const dev = c.open();
  const bind = (fields: object, o: object = {}): string | undefined =>
    c.ioctl(dev, uapi.VFIO_DEVICE_BIND_IOMMUFD, { iommufd: 3, ...fields }, { fds: [iommufdFd()], ...o }).errno;

  test.each<[string, string, () => string | undefined]>([
    ['argsz 15', 'EINVAL', () => bind({}, { argsz: 15 })],
    ['argsz 12', 'EINVAL', () => bind({}, { argsz: 12 })],
    ['any flag', 'EINVAL', () => bind({ flags: 1 })],
    ['fd -1', 'EINVAL', () => bind({ iommufd: -1 })],
    ['a number without a file', 'EBADF', () => bind({ iommufd: 1000 })],
    ['/dev/null', 'EBADFD', () => bind({}, { fds: [{ fd: 3, token: 'n', owner: '' }] })],
    ['an eventfd', 'EBADFD', () => bind({}, { fds: [{ fd: 3, token: 'e10', owner: PAGES }] })],
    ['memory that is not there', 'EFAULT', () => bind({}, { present: 8 })],
  ])('%s: %s', (_rule, errno, ask) => {
    expect(ask()).toBe(errno);
    expect(c.h.world.claims).toBe(0);
    expect(c.h.world.bound).toBe(0);
    expect(c.h.core.check()).toEqual([]);
  });

  test.each(['EPERM', 'EBADF', 'EBADFD', 'EINVAL', 'EBUSY'] as const)(
    'iommufd refuses with %s: the claim is given back',
    (errno) => {
      c.h.world.refusals.set(iommufdApi.bind.name, errno);
      expect(c.bind(dev)).toBe(errno);
      expect(c.h.world.claims).toBe(0);
      c.h.world.refusals.clear();
    },
  );

  test('EBUSY while the group node is open, before the fd is looked at (trace b012)', () => {
    c.h.world.refusals.set(groupsApi.cdevClaim.name, 'EBUSY');
    expect(bind({ iommufd: 1000 })).toBe('EBUSY');
    c.h.world.refusals.clear();
  });

  test('a device id that cannot be written undoes the bind', () => {
    c.h.calls.length = 0;
    expect(c.bind(dev, { readOnly: true })).toBe('EFAULT');
    expect(c.h.calls).toEqual(['groups.cdevClaim', 'iommufd.bind', 'iommufd.unbind', 'groups.cdevRelease']);
    expect(c.plain(dev, uapi.VFIO_DEVICE_RESET.nr)).toBe('EINVAL');
  });

  test('a longer struct is fine on 6.12, and only the device id is written', () => {
    const r = c.ioctl(
      dev,
      uapi.VFIO_DEVICE_BIND_IOMMUFD,
      { iommufd: 3 },
      { fds: [iommufdFd()], tail: new Uint8Array(48).fill(9) },
    );
    expect(r).toMatchObject({ errno: undefined, ret: 0 });
    expect(r.out.out_devid).toBeGreaterThan(0);
    expect(c.h.world.claims).toBe(1);
  });

  test('a second BIND of the same file is EINVAL, whatever the fd', () => {
    expect([c.bind(dev), bind({ iommufd: 1000 })]).toEqual(['EINVAL', 'EINVAL']);
  });
});

describe('one file has access (trace b012)', () => {
  const c = bench(EDU);
  const [d1, d2, d3] = [c.open(), c.open(), c.open()];
  test('opens are not exclusive, the bind is', () => {
    expect([c.bind(d1), c.bind(d2), c.bind(d3)]).toEqual([undefined, 'EINVAL', 'EINVAL']);
  });
  test('the fd is looked at before the other file', () => {
    expect(c.ioctl(d2, uapi.VFIO_DEVICE_BIND_IOMMUFD, { iommufd: 9 }).errno).toBe('EBADF');
  });
  test('after the close the next may', () => {
    expect(c.close(d1)).toBeUndefined();
    expect(c.bind(d2)).toBeUndefined();
    expect(c.h.world).toMatchObject({ claims: 1, bound: 1 });
  });
  test('of two binds under way at once one wins', () => {
    c.close(d2);
    c.h.hold(iommufdApi.bind);
    const second = c.open();
    const both = [d3, second].map((d) =>
      c.startIoctl(d, uapi.VFIO_DEVICE_BIND_IOMMUFD, { iommufd: 3 }, { fds: [iommufdFd()] }),
    );
    c.h.release(iommufdApi.bind);
    expect(both.map((result) => result().errno)).toEqual([undefined, 'EINVAL']);
    expect(c.h.world).toMatchObject({ claims: 1, bound: 1 });
  });
});

describe('ATTACH and DETACH (trace b013)', () => {
  const c = bench(EDU);
  const dev = c.open();
  c.bind(dev);
  const attach = (fields: object, o: object = {}) =>
    c.ioctl(dev, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: 1, ...fields }, o);
  const detach = (fields: object, o: object = {}) => c.ioctl(dev, uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, fields, o).errno;

  test('detaching what is not attached is success and asks nobody', () => {
    c.h.calls.length = 0;
    expect(detach({})).toBeUndefined();
    expect(c.h.calls).toEqual([]);
  });
  test.each<[string, object, object]>([
    ['argsz 11', {}, { argsz: 11 }],
    ['any flag', { flags: 1 }, {}],
  ])('%s is EINVAL', (_rule, fields, o) => {
    expect(attach(fields, o).errno).toBe('EINVAL');
  });
  test.each(['ENOENT', 'EINVAL', 'EADDRINUSE', 'ENOMEM'] as const)('what iommufd says is the answer: %s', (errno) => {
    c.h.world.refusals.set(iommufdApi.attach.name, errno);
    expect(attach({}).errno).toBe(errno);
    c.h.world.refusals.clear();
  });
  test('the id of the HWPT is written back, the rest of the struct is not', () => {
    const r = attach({ pt_id: 2 });
    expect(r.out).toMatchObject({ argsz: 12, flags: 0, pt_id: 12 });
  });
  test('an id that cannot be written detaches', () => {
    c.h.calls.length = 0;
    expect(attach({}, { readOnly: true }).errno).toBe('EFAULT');
    expect(c.h.calls).toEqual(['iommufd.attach', 'iommufd.detach']);
    expect(detach({})).toBeUndefined();
    expect(c.h.calls).toHaveLength(2);
  });
  test('a failed replacement leaves the attachment', () => {
    attach({});
    c.h.world.refusals.set(iommufdApi.attach.name, 'EINVAL');
    attach({ pt_id: 5 });
    c.h.world.refusals.clear();
    c.h.calls.length = 0;
    expect(detach({})).toBeUndefined();
    expect(c.h.calls).toEqual(['iommufd.detach']);
  });
  test.each<[string, object, object]>([
    ['argsz 7', {}, { argsz: 7 }],
    ['any flag', { flags: 1 }, {}],
  ])('DETACH with %s is EINVAL', (_rule, fields, o) => {
    expect(detach(fields, o)).toBe('EINVAL');
  });
});

describe('the PASID flag (trace d002)', () => {
  const attachWith = (c: ReturnType<typeof boundBench>['c'], dev: number, flags: number, pasid: number) =>
    c.ioctl(
      dev,
      uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
      { pt_id: 1, flags },
      { argsz: 16, tail: new Uint8Array(Uint32Array.of(pasid).buffer) },
    ).errno;

  test('later kernels attach the PASID, and attaching it again replaces', () => {
    const { c, dev } = boundBench({ ...EDU, profile: '7.2' });
    c.h.calls.length = 0;
    expect([attachWith(c, dev, 1, 5), attachWith(c, dev, 1, 5)]).toEqual([undefined, undefined]);
    expect(c.h.world.pasids).toEqual([
      [5, false],
      [5, true],
    ]);
  });

  test.each([
    ['an unknown flag beside it', '7.2', 3, 5, 'EINVAL'],
    ['a PASID that is no positive int', '7.2', 1, 0xffffffff, 'ENOSPC'],
    ['6.12 knows no flags', '6.12', 1, 5, 'EINVAL'],
  ] as const)('%s', (_rule, profile, flags, pasid, errno) => {
    const { c, dev } = boundBench({ ...EDU, profile });
    expect(attachWith(c, dev, flags, pasid)).toBe(errno);
    expect(c.h.world.pasids).toEqual([]);
  });
});

describe('release', () => {
  test('is in the order of E9 (I46)', () => {
    const { c, dev } = boundBench(EDU);
    c.setEventfds(dev, 1, 0, [10]);
    c.h.calls.length = 0;
    expect(c.close(dev)).toBeUndefined();
    expect(c.h.calls).toEqual(['pages.eventfdDrop', 'iommufd.detach', 'iommufd.unbind', 'groups.cdevRelease']);
    expect(c.h.world).toMatchObject({ claims: 0, bound: 0, holds: new Map() });
    expect(c.h.core.figures()).toEqual({ files: 0, madeFiles: 0, bound: 0, heldEventfds: 0 });
  });

  test('of a file that was never bound asks nobody', () => {
    const c = bench(EDU);
    expect(c.close(c.open())).toBeUndefined();
    expect(c.h.calls).toEqual([]);
  });

  test('a capability that was closed, or never given, is EBADF', () => {
    const c = bench(EDU);
    const dev = c.open();
    c.close(dev);
    expect([c.close(dev), c.plain(dev, uapi.VFIO_DEVICE_RESET.nr), c.pread(dev, 0, 1), c.pwrite(dev, 0, '00')]).toEqual(
      Array(4).fill('EBADF'),
    );
  });

  test('waits for the calls on the file', () => {
    const { c, dev } = boundBench(EDU);
    c.h.hold(iommufdApi.attach);
    const attaching = c.startIoctl(dev, uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: 4 });
    const closing = c.h.start(sysApi.close, { token: dev }, c.address);
    expect(closing.done).toBe(false);
    expect(c.h.calls).not.toContain('iommufd.unbind');
    c.h.release(iommufdApi.attach);
    expect([attaching().errno, closing.value]).toEqual([undefined, { ok: true, value: undefined }]);
    expect(c.h.world.bound).toBe(0);
  });

  test('waits for a bind under way, and undoes it', () => {
    const c = bench(EDU);
    const dev = c.open();
    c.h.hold(groupsApi.cdevClaim);
    const binding = c.startIoctl(dev, uapi.VFIO_DEVICE_BIND_IOMMUFD, { iommufd: 3 }, { fds: [iommufdFd()] });
    const closing = c.h.start(sysApi.close, { token: dev }, c.address);
    expect(closing.done).toBe(false);
    c.h.release(groupsApi.cdevClaim);
    expect([binding().errno, closing.done]).toEqual([undefined, true]);
    expect(c.h.world).toMatchObject({ claims: 0, bound: 0 });
    expect(c.h.core.check()).toEqual([]);
  });

  test('has bus master off before anything else is let go of (I46)', () => {
    const { c, dev } = boundBench(EDU);
    c.setEventfds(dev, 1, 0, [10]);
    c.pwrite(dev, CONFIG + 4, '0600');
    c.h.hold(pagesApi.eventfdDrop);
    const closing = c.h.start(sysApi.close, { token: dev }, c.address);
    expect([closing.done, c.h.core.describe()[0]]).toEqual([false, expect.stringContaining('command 0x0002')]);
    c.h.release(pagesApi.eventfdDrop);
    expect(closing.done).toBe(true);
  });

  test('of a granted file waits for its last capability', () => {
    const { c, dev } = boundBench(EDU);
    const granted = c.h.ask(sysApi.grant, { token: dev, to: 'client:two' });
    if (!granted.ok) throw new Error(granted.errno);
    c.close(dev);
    expect(c.h.world.bound).toBe(1);
    const mine = c.h.ask(sysApi.close, { token: granted.value.token });
    expect(mine).toEqual({ ok: false, errno: 'EBADF' });
    c.h.ask(sysApi.close, { token: granted.value.token }, 'client:two');
    expect(c.h.world.bound).toBe(0);
  });
});

describe('a client that is gone', () => {
  test('holds nothing any more', () => {
    const { c } = boundBench(EDU);
    c.open();
    c.h.ask(sysApi.clientGone, { client: c.address }, LAB);
    expect(c.h.world).toMatchObject({ claims: 0, bound: 0 });
    expect(c.h.core.figures()).toEqual({ files: 0, madeFiles: 0, bound: 0, heldEventfds: 0 });
  });
  test('is told of by the lab only', () => {
    const { c } = boundBench(EDU);
    c.h.ask(sysApi.clientGone, { client: c.address }, IOMMUFD);
    c.h.ask(sysApi.clientGone, { client: c.address }, 'client:two');
    expect(c.h.world.bound).toBe(1);
  });
  test('leaves what it granted to others', () => {
    const { c, dev } = boundBench(EDU);
    c.h.ask(sysApi.grant, { token: dev, to: 'client:two' });
    c.h.ask(sysApi.clientGone, { client: c.address }, LAB);
    expect(c.h.world.bound).toBe(1);
    c.h.ask(sysApi.clientGone, { client: 'client:two' }, LAB);
    expect(c.h.world.bound).toBe(0);
  });
});
