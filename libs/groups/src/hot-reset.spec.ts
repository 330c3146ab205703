/** Who may reset a slot or bus (semantics D6.3, I43). */
import { groupsApi, IOMMUFD } from '@vfiolab/core';
import { fail, ok } from '@vfiolab/uapi';
import { HOLD } from '../../core/src/testing/bench.js';
import { type GroupBench, groupBench } from './testing/group-client.js';
import { CLIENT, files, sealedBench, SETUP, SMALL_MACHINE } from './testing/machines.js';

const [A, B] = ['0000:02:01.0', '0000:02:02.0'];
const ACTOR = 'device:0000:02:01_0';
const CARD = '0000:01:00.0';
const BIND = '/sys/bus/pci/drivers/vfio-pci/bind';
const UNBIND = '/sys/bus/pci/drivers/vfio-pci/unbind';

/** Two functions behind a conventional bridge, bound to vfio-pci, and one behind a port. */
function bench(ids: number[] = [1, 0]) {
  const b = groupBench({ device: { hotReset: () => ok(undefined) }, iommufd: { deviceIds: () => ids } });
  const fs = files(b.bench);
  for (const bdf of [A, B]) fs.write(BIND, bdf);
  const node = fs.readlink(`/sys/bus/pci/devices/${A}/iommu_group`).split('/').pop()!;
  b.heard();
  return { b, fs, node: `/dev/vfio/${node}`, group: Number(node) };
}

const byGroups = (b: GroupBench, files: string[], client = CLIENT) =>
  b.bench.ask(ACTOR, groupsApi.hotReset, { bdf: A, client, files, context: 0 });
const byContext = (b: GroupBench) =>
  b.bench.ask(ACTOR, groupsApi.hotReset, { bdf: A, client: '', files: [], context: 3 });

describe('what a hot reset hits', () => {
  it('functions with their groups, and whether they are in the set', () => {
    const { b, fs, group } = bench();
    const ask = (from: string, bdf: string): unknown => b.bench.get(from, groupsApi.resetReach, { bdf });
    expect(ask(ACTOR, A)).toEqual(ok([A, B].map((bdf) => ({ bdf, group, inSet: true }))));
    fs.write(UNBIND, B);
    expect(ask(ACTOR, A)).toMatchObject({ value: [{ inSet: true }, { inSet: false }] });
    expect(ask('device:0000:00:03_0', '0000:00:03.0')).toEqual(fail('ENODEV'));
    expect([ask('device:0000:00:03_0', A), ask('device:0000:01:00_0', CARD)]).toEqual(Array(2).fill(fail('EPERM')));
  });
});

describe('a hot reset by groups', () => {
  it('begins at the first function, which is told the others', () => {
    const { b, node } = bench();
    expect(byGroups(b, [b.open(node)]).value).toEqual(ok(undefined));
    expect(b.bench.heard.at(-1)).toMatchObject({ to: ACTOR, method: 'device.hotReset', args: { rest: [B] } });
  });

  it.each<[string, string, (x: ReturnType<typeof bench>) => string[]]>([
    ['no group', 'EINVAL', () => []],
    ['another group', 'EINVAL', ({ b }) => [b.open('/dev/vfio/1')]],
    ['no file', 'EBADF', () => ['0'.repeat(8)]],
  ])('%s: %s', (_title, errno, filesOf) => {
    const x = bench();
    expect(byGroups(x.b, filesOf(x)).value).toEqual(fail(errno as 'EINVAL'));
    expect(x.b.heard()).toEqual([]);
  });

  it('EBADF: the group file of somebody else', () => {
    const { b, node } = bench();
    expect(byGroups(b, [b.open(node)], 'client:other').value).toEqual(fail('EBADF'));
  });

  it('EINVAL: one function is not vfio-pci’s; EPERM: another actor asks', () => {
    const { b, fs, node } = bench();
    const token = b.open(node);
    fs.write(UNBIND, B);
    b.heard();
    expect(byGroups(b, [token]).value).toEqual(fail('EINVAL'));
    const asked = { bdf: A, client: CLIENT, files: [token], context: 0 };
    expect(b.bench.get('device:0000:02:02_0', groupsApi.hotReset, asked)).toEqual(fail('EPERM'));
    expect(b.heard()).toEqual([]);
  });

  it('EAGAIN: one is being unbound, and its user does not let go', () => {
    const { b, node } = bench();
    b.bench.script('device', { remove: () => HOLD });
    const token = b.open(node);
    const unbound = b.bench.ask(CLIENT, groupsApi.sysfsWrite, { path: UNBIND, data: B });
    expect([unbound.done, byGroups(b, [token]).value]).toEqual([false, fail('EAGAIN')]);
    b.bench.answer('device.remove', undefined);
    expect(unbound.done).toBe(true);
  });

  it('one after the other, and the file of the group stays open', () => {
    const { b, node } = bench();
    b.bench.script('device', { hotReset: () => HOLD });
    const token = b.open(node);
    const [first, second] = [byGroups(b, [token]), byGroups(b, [token])];
    const closed = b.close(token);
    expect(b.bench.held).toHaveLength(1);
    b.bench.answer('device.hotReset', fail('EBUSY'));
    expect([first.value, second.done, closed.done]).toEqual([fail('EBUSY'), false, false]);
    b.bench.answer('device.hotReset', ok(undefined));
    expect([second.value, closed.done, b.bench.core.check()]).toEqual([ok(undefined), true, []]);
  });

  it('drivers wait for it; whoever comes then finds the function gone', () => {
    const { b, node } = bench();
    b.bench.script('device', { hotReset: () => HOLD });
    const token = b.open(node);
    const reset = byGroups(b, [token]);
    const unbound = b.bench.ask(CLIENT, groupsApi.sysfsWrite, { path: UNBIND, data: B });
    expect([reset.done, unbound.done]).toEqual([false, false]);
    b.bench.answer('device.hotReset', ok(undefined));
    expect([reset.value, unbound.done, byGroups(b, [token]).value]).toEqual([ok(undefined), true, fail('EINVAL')]);
  });
});

it('ENOTTY: all are reset, but the link of the port does not come up again (trace d012)', () => {
  const machine = SMALL_MACHINE.replace('"secondary_bus":1,', '"secondary_bus":1,"loses_link":true,');
  const asked: unknown[] = [];
  const bench = sealedBench(
    { device: { hotReset: (args) => (asked.push(args), ok(undefined)) }, iommufd: { deviceIds: () => [2] } },
    SETUP,
    machine,
  );
  const fs = files(bench);
  fs.write(`/sys/bus/pci/devices/${CARD}/driver/unbind`, CARD);
  fs.write(`/sys/bus/pci/devices/${CARD}/driver_override`, 'vfio-pci');
  fs.write(BIND, CARD);
  const wanted = { bdf: CARD, client: '', files: [], context: 1 };
  expect(bench.get('device:0000:01:00_0', groupsApi.hotReset, wanted)).toEqual(fail('ENOTTY'));
  expect(asked).toEqual([{ rest: [] }]);
  expect(bench.heard.find(({ method }) => method === 'device.probe')).toMatchObject({ args: { busReset: false } });
});

describe('a hot reset by an iommufd', () => {
  it.each<[string, number[], unknown]>([
    ['all are its own, or of its groups', [1, 0], ok(undefined)],
    ['one is not', [1, -1], fail('EINVAL')],
  ])('%s', (_title, ids, answer) => {
    const { b } = bench(ids);
    expect(byContext(b).value).toEqual(answer);
    expect(b.bench.heard[0]).toMatchObject({ to: IOMMUFD, args: { context: 3, bdfs: [A, B] } });
  });
});
