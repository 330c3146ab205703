import { deviceAddress, groupsApi, LAB } from '@vfiolab/core';
import { fail } from '@vfiolab/uapi';
import { HOLD } from '../../core/src/testing/bench.js';
import { GroupsCore } from './groups-core.js';
import { type Answers, CLIENT, files, sealedBench, SETUP } from './testing/machines.js';

const PARENT = '/sys/class/mdev_bus/mtty';
const TYPES = `${PARENT}/mdev_supported_types`;
const DEVICES = '/sys/bus/mdev/devices';
const uuid = (n: number): string => `83b8f4f2-509f-382f-3c1e-${String(n).padStart(12, '0')}`;

function bench(device: Answers = {}) {
  const b = sealedBench({ device });
  const fs = files(b);
  return {
    b,
    ...fs,
    create: (n: number, type = 'mtty-1') => fs.write(`${TYPES}/${type}/create`, uuid(n)),
    left: () => ['mtty-1', 'mtty-2'].map((type) => fs.read(`${TYPES}/${type}/available_instances`)),
    remove: (n: number, data = '1') => fs.write(`${DEVICES}/${uuid(n)}/remove`, data),
  };
}

test('ports of all types come out of one store, and a failed create takes none (ENOSPC)', () => {
  const { b, create, left, remove } = bench();
  expect(left()).toEqual(['24\n', '12\n']);
  for (let n = 0; n < 11; n++) expect(create(n, 'mtty-2')).toBe(36);
  expect([create(11), left()]).toEqual([36, ['1\n', '0\n']]);
  expect([create(12, 'mtty-2'), create(12), create(13), left()]).toEqual(['ENOSPC', 36, 'ENOSPC', ['0\n', '0\n']]);
  expect(b.core.check()).toEqual([]);
  expect([remove(0), left()]).toEqual([1, ['2\n', '1\n']]);
});

test.each([
  ['upper case, shown in lower case', uuid(1).toUpperCase(), 36],
  ['a newline', `${uuid(1)}\n`, 37],
  ['any one byte more', `${uuid(1)}x`, 37],
  ['two bytes more', `${uuid(1)}\n\n`, 'EINVAL'],
  ['a digit too few', uuid(1).slice(1), 'EINVAL'],
  ['no digit', uuid(1).replace('8', 'g'), 'EINVAL'],
  ['no dashes', uuid(1).replaceAll('-', '0'), 'EINVAL'],
])('create of a UUID with %s', (_what, text, answer) => {
  const { b, write, list } = bench();
  expect(write(`${TYPES}/mtty-1/create`, text)).toBe(answer);
  expect(list(DEVICES)).toEqual(answer === 'EINVAL' ? [] : [uuid(1)]);
  expect(b.core.check()).toEqual([]);
});

test('a UUID is taken once, whatever the type; a type and a name that are not there', () => {
  const { create, write } = bench();
  expect([create(1), create(1), create(1, 'mtty-2'), create(2, 'mtty-3')]).toEqual([36, 'EEXIST', 'EEXIST', 'ENOENT']);
  expect(write('/sys/class/mdev_bus/none/create', uuid(3))).toBe('ENOENT');
});

test('a device has a group of its own, the lowest free one, and the lowest free minor', () => {
  const { b, create, readlink, read, list, resolve, remove } = bench();
  create(1);
  create(2, 'mtty-2');
  const at = `${DEVICES}/${uuid(1)}`;
  const [, free] = /groups\/([0-9]+)$/.exec(readlink(`${at}/iommu_group`) as string)!;
  expect(readlink(`${DEVICES}/${uuid(2)}/iommu_group`)).toBe(`../../../../../kernel/iommu_groups/${Number(free) + 1}`);
  const group = `/sys/kernel/iommu_groups/${free}`;
  expect(['name', 'type', 'reserved_regions'].map((name) => read(`${group}/${name}`))).toEqual([
    'vfio-noiommu\n',
    'unknown\n',
    '',
  ]);
  expect(readlink(`${group}/devices/${uuid(1)}`)).toBe(`../../../../devices/virtual/mtty/mtty/${uuid(1)}`);
  expect(list(at)).toEqual('driver iommu_group mdev_type power remove subsystem uevent vendor vfio-dev'.split(' '));
  expect([list(`${at}/vfio-dev`), readlink(`${at}/driver`)]).toEqual([
    ['vfio4'],
    '../../../../../bus/mdev/drivers/mtty',
  ]);
  expect(readlink(`/sys/class/vfio-dev/vfio4`)).toBe(`../../devices/virtual/mtty/mtty/${uuid(1)}/vfio-dev/vfio4`);
  expect([resolve('/dev/vfio/devices/vfio4'), resolve(`/dev/vfio/${free}`)]).toEqual([
    deviceAddress(uuid(1)),
    'groups',
  ]);
  expect([read(`${at}/mdev_type/name`), read(`${at}/vendor/sample_mdev_dev`), read(`${at}/uevent`)]).toEqual([
    'Single port serial\n',
    `This is MDEV ${uuid(1)}\n`,
    'DRIVER=mtty\n',
  ]);
  expect([list(`${TYPES}/mtty-2/devices`), readlink(`${TYPES}/mtty-2/devices/${uuid(2)}`)]).toEqual([
    [uuid(2)],
    `../../../${uuid(2)}`,
  ]);
  expect([list(PARENT), list('/sys/bus/mdev/drivers/mtty')]).toEqual([
    [uuid(1), uuid(2), 'mdev_supported_types', 'power', 'subsystem'],
    [uuid(1), uuid(2)],
  ]);
  expect(b.get(LAB, groupsApi.vfioDevices, undefined)).toEqual(expect.arrayContaining([uuid(1), uuid(2)]));
  remove(1);
  expect([resolve('/dev/vfio/devices/vfio4'), resolve(`/dev/vfio/${free}`), list(group)]).toEqual([
    'ENOENT',
    'ENOENT',
    'ENOENT',
  ]);
  create(3);
  expect(readlink(`${DEVICES}/${uuid(3)}/iommu_group`)).toBe(`../../../../../kernel/iommu_groups/${free}`);
  expect(b.core.check()).toEqual([]);
});

test.each([
  ['0', 1, true],
  ['0x0\n', 4, true],
  ['00', 2, true],
  ['2', 1, false],
  ['+0x10\n', 6, false],
  ['010', 3, false],
  ['18446744073709551615', 20, false],
  ['18446744073709551616', 'EINVAL', true],
  ['-1', 'EINVAL', true],
  ['08', 'EINVAL', true],
  ['1x', 'EINVAL', true],
  [' 1', 'EINVAL', true],
])('remove of %j', (data, answer, stays) => {
  const { create, remove, list } = bench();
  create(1);
  expect([remove(1, data), list(DEVICES)]).toEqual([answer, stays ? [uuid(1)] : []]);
});

test('while a remove waits nothing shows the device, and its UUID and ports are taken', () => {
  const { b, create, left, list, resolve } = bench({ remove: () => HOLD });
  create(1);
  const waiting = b.ask(CLIENT, groupsApi.sysfsWrite, { path: `${DEVICES}/${uuid(1)}/remove`, data: '1' });
  expect(waiting.done).toBe(false);
  expect([list(DEVICES), resolve('/dev/vfio/devices/vfio4'), create(1), left()[0]]).toEqual([
    [],
    'ENOENT',
    'EEXIST',
    '23\n',
  ]);
  b.answer('device.remove', undefined);
  expect([waiting.value, create(1), left()[0]]).toEqual([{ ok: true, value: 1 }, 36, '23\n']);
  expect(b.core.check()).toEqual([]);
});

test('a device that its actor refuses leaves nothing', () => {
  const { b, create, left, list } = bench({ probeMdev: () => fail('EBUSY') });
  const groups = list('/sys/kernel/iommu_groups');
  expect([create(1), list(DEVICES), left()[0]]).toEqual(['EBUSY', [], '24\n']);
  expect([list('/sys/kernel/iommu_groups'), b.core.check()]).toEqual([groups, []]);
});

test('files that a device left behind keep it among those that hear of the end of clients', () => {
  const { b, create, remove } = bench();
  create(1);
  const from = deviceAddress(uuid(1));
  const known = () => b.get(LAB, groupsApi.vfioDevices, undefined).includes(uuid(1));
  b.get(from, groupsApi.filesLeft, { open: true });
  remove(1);
  expect([known(), b.core.figures()['lingering']]).toEqual([true, 1]);
  b.get(from, groupsApi.filesLeft, { open: false });
  expect([known(), b.core.figures()['lingering']]).toEqual([false, 0]);
});

test('a snapshot brings devices back, a meaning tells them apart', () => {
  const { b, create, remove, list } = bench();
  create(1, 'mtty-2');
  create(2);
  remove(1);
  create(3, 'mtty-2');
  const fresh = new GroupsCore();
  const { before, after } = b.reread(fresh);
  expect(after).toEqual(before);
  expect(fresh.check()).toEqual([]);
  expect(fresh.describe().filter((line) => line.includes('mdev'))).toHaveLength(list(DEVICES).length);
});

it('ENOSPC: 24 memory cards, which take no ports; none where nobody asked for them', () => {
  const fs = files(sealedBench({}, { ...SETUP, memoryCards: true }));
  const make = (n: number) => fs.write(`${TYPES}/mtty-memory/create`, uuid(n));
  for (let n = 0; n < 24; n++) expect(make(n)).toBe(36);
  expect([make(24), fs.read(`${TYPES}/mtty-1/available_instances`)]).toEqual(['ENOSPC', '24\n']);
  expect(fs.write(`/sys/bus/mdev/devices/${uuid(3)}/remove`, '1')).toBe(1);
  expect([make(25), fs.read(`${TYPES}/mtty-memory/available_instances`)]).toEqual([36, '0\n']);
  expect(files(sealedBench()).write(`${TYPES}/mtty-memory/create`, uuid(1))).toBe('ENOENT');
});
