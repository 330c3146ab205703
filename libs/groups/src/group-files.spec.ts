import { clientAddress, groupsApi, LAB, sysApi } from '@vfiolab/core';
import { fail, ok } from '@vfiolab/uapi';
import { HOLD } from '../../core/src/testing/bench.js';
import { GroupsCore } from './groups-core.js';
import { groupBench } from './testing/group-client.js';
import { CLIENT, files, SETUP } from './testing/machines.js';

const BDF = '0000:00:03.0';
const ACTOR = 'device:0000:00:03_0';
const OTHER = clientAddress('other');
const use = (b: ReturnType<typeof groupBench>) => b.bench.get(ACTOR, groupsApi.groupUse, { bdf: BDF, client: CLIENT });
const unuse = (b: ReturnType<typeof groupBench>) => b.bench.get(ACTOR, groupsApi.groupUnuse, { bdf: BDF });
const isToken = /^[^A-Z]/;

describe('opening /dev/vfio/N (A3.1)', () => {
  it('is exclusive, within one process too, until the last holder closes', () => {
    const b = groupBench();
    const token = b.open('/dev/vfio/1');
    expect([b.open('/dev/vfio/1'), b.open('/dev/vfio/1', OTHER)]).toEqual(['EBUSY', 'EBUSY']);
    const granted = b.bench.get(CLIENT, sysApi.grant, { token, to: OTHER });
    b.close(token);
    expect(b.open('/dev/vfio/1')).toBe('EBUSY');
    b.close(granted.ok ? granted.value.token : '', OTHER);
    expect(b.open('/dev/vfio/1')).toMatch(isToken);
  });

  it('EBUSY while a cdev of a member is bound; the other way round too (A3.2)', () => {
    const b = groupBench();
    const claim = { bdf: BDF };
    b.bench.get(ACTOR, groupsApi.cdevClaim, claim);
    expect(b.open('/dev/vfio/1')).toBe('EBUSY');
    b.bench.get(ACTOR, groupsApi.cdevRelease, claim);
    const token = b.open('/dev/vfio/1');
    expect(b.bench.get(ACTOR, groupsApi.cdevClaim, claim)).toEqual(fail('EBUSY'));
    b.close(token);
    expect(b.bench.get(ACTOR, groupsApi.cdevClaim, claim)).toEqual(ok(undefined));
  });

  it.each([
    ['no device of vfio-pci', '/dev/vfio/0', 'ENOENT'],
    ['another service opens it', '/dev/iommu', 'ENXIO'],
    ['no device node', '/dev/vfio', 'ENXIO'],
  ])('%s', (_title, path, errno) => expect(groupBench().open(path)).toBe(errno));

  it('EACCES: only root, until the mode says otherwise; a new node is as at first', () => {
    let uid = 1000;
    const b = groupBench({ pages: { userOf: () => uid } });
    const fs = files(b.bench);
    const chmod = () => b.bench.get(CLIENT, groupsApi.chmod, { path: '/dev/vfio/1', mode: 0o666 });
    expect([b.open('/dev/vfio/1'), fs.resolve('/dev/vfio/1'), fs.resolve('/dev/iommu')]).toEqual(
      Array(3).fill('EACCES'),
    );
    expect([fs.resolve('/dev/vfio/vfio'), chmod()]).toEqual(['container', fail('EPERM')]);
    uid = 0;
    expect(chmod()).toEqual(ok(undefined));
    uid = 1000;
    const token = b.open('/dev/vfio/1');
    expect([token, fs.stat('/dev/vfio/1')]).toEqual([
      expect.stringMatching(isToken),
      expect.objectContaining({ mode: 0o666 }),
    ]);
    b.close(token);
    uid = 0;
    fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', BDF);
    fs.write('/sys/bus/pci/drivers/vfio-pci/bind', BDF);
    expect(fs.stat('/dev/vfio/1')).toMatchObject({ mode: 0o600 });
    expect(b.bench.get(CLIENT, groupsApi.chmod, { path: '/dev/vfio', mode: 0 })).toEqual(fail('EOPNOTSUPP'));
  });

  it('a file of another client, and what is no ioctl of groups', () => {
    const b = groupBench();
    const token = b.open('/dev/vfio/1');
    expect(b.ioctl(token, 0x3b67, new Uint8Array(8), OTHER)).toBe('EBADF');
    expect(b.ioctl(token, 0x3b70, new Uint8Array(8))).toBe('ENOTTY');
    for (const [from, errno] of [
      [CLIENT, 'EINVAL'],
      [OTHER, 'EBADF'],
    ] as const) {
      expect(b.bench.get(from, sysApi.pread, { token, offset: 0, length: 1 })).toEqual(fail(errno));
      expect(b.bench.get(from, sysApi.pwrite, { token, offset: 0, data: new Uint8Array(1) })).toEqual(fail(errno));
    }
  });
});

describe('closing (A3.5)', () => {
  it('takes the group out of its container', () => {
    const b = groupBench();
    const token = b.open('/dev/vfio/1');
    b.set(token, 10);
    b.heard();
    b.close(token);
    expect(b.heard()).toEqual(['container.leave', 'iommu.attach', 'container.drop']);
    expect(b.bench.core.figures()).toEqual({
      ownedGroups: 0,
      claims: 0,
      cdevClaims: 0,
      lingering: 0,
      files: 0,
      vms: 0,
    });
  });

  it('waits for the devices of a container: the group stays there, and its node busy, until the last is closed', () => {
    const b = groupBench();
    const token = b.open('/dev/vfio/1');
    b.set(token, 10);
    use(b);
    b.heard();
    b.close(token);
    expect([b.heard(), b.open('/dev/vfio/1')]).toEqual([[], 'EBUSY']);
    expect(b.bench.core.check()).toEqual([]);
    unuse(b);
    expect(b.heard()).toEqual(['container.leave', 'iommu.attach', 'container.drop']);
    expect(b.open('/dev/vfio/1')).toMatch(isToken);
  });

  it('does not wait for the devices of an iommufd (b018)', () => {
    const b = groupBench();
    const token = b.open('/dev/vfio/1');
    b.set(token, 11);
    use(b);
    b.heard();
    b.close(token);
    expect(b.heard()).toEqual(['iommufd.compatDrop']);
    expect(b.open('/dev/vfio/1')).toMatch(isToken);
  });

  it('waits for a call on the file, which may open a device meanwhile', () => {
    const b = groupBench({ device: { openInGroup: () => HOLD } });
    const token = b.open('/dev/vfio/1');
    b.set(token, 10);
    expect(b.device(token, BDF)).toBe('waits');
    const closed = b.close(token);
    use(b);
    expect(closed.done).toBe(false);
    b.heard();
    b.bench.answer('device.openInGroup', ok({ token: 'a'.repeat(8), kind: 'device' }));
    expect([closed.done, b.heard()]).toEqual([true, []]);
    unuse(b);
    expect(b.heard()).toEqual(['container.leave', 'iommu.attach', 'container.drop']);
  });

  it('a call that fails after its file was closed leaves the release to the close', () => {
    const b = groupBench({ device: { openInGroup: () => HOLD } });
    const token = b.open('/dev/vfio/1');
    b.set(token, 10);
    b.device(token, BDF);
    use(b);
    const closed = b.close(token);
    unuse(b);
    expect(closed.done).toBe(false);
    b.bench.answer('device.openInGroup', fail('EPERM'));
    expect([closed.done, b.open('/dev/vfio/1')]).toEqual([true, expect.stringMatching(isToken)]);
  });

  it('a client that is gone: its calls end first, then its files are closed', () => {
    const b = groupBench({ device: { openInGroup: () => HOLD } });
    const token = b.open('/dev/vfio/1');
    b.bench.get(CLIENT, sysApi.grant, { token, to: OTHER });
    b.set(token, 11);
    b.device(token, BDF);
    const gone = b.bench.ask(LAB, sysApi.clientGone, { client: CLIENT });
    expect(gone.done).toBe(false);
    b.bench.answer('device.openInGroup', fail('ENOMEM'));
    expect([gone.done, b.bench.core.figures()['files']]).toEqual([true, 1]);
    b.bench.get(LAB, sysApi.clientGone, { client: OTHER });
    expect(b.bench.core.figures()['files']).toBe(0);
  });
});

it('a client that ends while it opens a group has none afterwards (found by a random program)', () => {
  const b = groupBench({ container: { leave: () => HOLD } });
  const token = b.open('/dev/vfio/1');
  b.set(token, 10);
  b.close(token);
  const opening = b.bench.ask(OTHER, sysApi.open, { path: '/dev/vfio/1', flags: 2 });
  const gone = b.bench.ask(LAB, sysApi.clientGone, { client: OTHER });
  expect([opening.done, gone.done]).toEqual([false, false]);
  b.bench.answer('container.leave', undefined);
  expect([gone.done, b.bench.core.figures()['files'], b.open('/dev/vfio/1')]).toEqual([
    true,
    0,
    expect.stringMatching(isToken),
  ]);
});

describe('devices that use the group', () => {
  it.each([
    ['another actor', 'device:0000:00:04_0', fail('EPERM')],
    ['the device itself, in no container', ACTOR, ok({ vm: 0 })],
  ])('%s', (_who, from, answer) =>
    expect(groupBench().bench.get(from, groupsApi.groupUse, { bdf: BDF, client: CLIENT })).toEqual(answer),
  );

  it('EINVAL: the container has no backend yet; it is no user then', () => {
    const b = groupBench({ container: { ready: () => fail('EINVAL') } });
    const token = b.open('/dev/vfio/1');
    b.set(token, 10);
    expect([use(b), b.unset(token)]).toEqual([fail('EINVAL'), 0]);
  });
});

it.each([10, 11])('the state with an open group in a container (%i) is read back', (fd) => {
  const b = groupBench({}, { ...SETUP, iommu: 'none' });
  const fs = files(b.bench);
  fs.write('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode', '1');
  for (const bdf of [BDF, '0000:00:04.0']) fs.write('/sys/bus/pci/drivers/vfio-pci/bind', bdf);
  const [dead, token] = [b.open('/dev/vfio/noiommu-0'), b.open('/dev/vfio/noiommu-1')];
  b.set(token, fd);
  b.bench.get('device:0000:00:04_0', groupsApi.groupUse, { bdf: '0000:00:04.0', client: CLIENT });
  b.close(token);
  fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', BDF);
  b.bench.get(CLIENT, groupsApi.chmod, { path: '/dev/iommu', mode: 0o600 });
  expect(b.status(dead)).toBe('ENODEV');
  const fresh = new GroupsCore();
  const { before, after } = b.bench.reread(fresh);
  expect(after).toEqual(before);
  expect([fresh.describe(), fresh.check()]).toEqual([b.bench.core.describe(), []]);
});
