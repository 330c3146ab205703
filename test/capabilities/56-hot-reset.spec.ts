/** Capability 56: a whole slot or bus is reset at once, by whoever has all of it (semantics D6.3). */
import { VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, VFIO_DEVICE_PCI_HOT_RESET } from '@vfiolab/uapi';
import { boot, CARD, devicesOf, MIXED, PAIR, register, ROOT, SOURCE } from './support/shared-bus.js';

it('56: an incomplete set of groups is EINVAL and resets nothing, a complete one resets all functions', async () => {
  const lab = await boot();
  const p = await lab.program('vmm');
  const { groups } = await p.ready(PAIR);
  const [first, second] = [await p.engine(groups[0]!, PAIR[0]), await p.engine(groups[1]!, PAIR[1])];
  const reset = async (fds: readonly number[]) => {
    const tail = new Uint8Array(Int32Array.from(fds).buffer);
    return (await p.ioctl(first.fd, VFIO_DEVICE_PCI_HOT_RESET, { count: fds.length }, { tail })).errno;
  };
  for (const { fd } of [first, second]) await register(p, fd, 0x1234n);
  expect(devicesOf(await p.ioctl(second.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, {}, { room: 64 }))).toMatchObject({
    flags: 0,
    functions: [
      [1, 0],
      [1, 1],
    ],
  });
  expect([await reset([groups[0]!]), await reset([]), await reset([groups[0]!, first.fd])]).toEqual(
    Array(3).fill('EINVAL'),
  );
  expect([await register(p, first.fd), await register(p, second.fd)]).toEqual([0x1234n, 0x1234n]);
  expect(await reset([groups[1]!, groups[0]!])).toBeUndefined();
  expect([await register(p, first.fd), await register(p, second.fd)]).toEqual([0n, 0n]);
  // Windows of the BARs that were mapped before answer again.
  expect(await p.must(p.process.load(first.bar + SOURCE, 8))).toEqual(new Uint8Array(8));
  expect(await lab.afterwards(p)).toEqual({ broken: [], held: {} });
});

it('56: functions of another owner keep the bus from being reset', async () => {
  const lab = await boot();
  const [p, other] = [await lab.program('vmm'), await lab.program('other')];
  const { groups } = await p.ready([PAIR[0]]);
  const { fd } = await p.engine(groups[0]!, PAIR[0]);
  const theirs = await other.ready([PAIR[1]]);
  const { fd: their } = await other.engine(theirs.groups[0]!, PAIR[1]);
  await register(other, their, 7n);
  const tail = new Uint8Array(Int32Array.of(groups[0]!).buffer);
  expect((await p.ioctl(fd, VFIO_DEVICE_PCI_HOT_RESET, { count: 1 }, { tail })).errno).toBe('EINVAL');
  expect(await register(other, their)).toBe(7n);
  expect(await lab.afterwards(p, other)).toEqual({ broken: [], held: {} });
});

it.each([
  ['on a root bus there is nothing that could reset it', ROOT, 'ENODEV'],
  [`${CARD} beside it belongs to another driver`, MIXED, 'EINVAL'],
] as const)('56: %s', async (_title, bdf, errno) => {
  const lab = await boot();
  const p = await lab.program('vmm');
  const { groups } = await p.ready([bdf]);
  const { fd } = await p.engine(groups[0]!, bdf);
  const tail = new Uint8Array(Int32Array.of(groups[0]!).buffer);
  expect((await p.ioctl(fd, VFIO_DEVICE_PCI_HOT_RESET, { count: 1 }, { tail })).errno).toBe(errno);
  expect(await lab.afterwards(p)).toEqual({ broken: [], held: {} });
});
