/**
 * Capability 66: one program has the memory and the IOMMU, another one the device: open files go from hand to hand.
 *
 * Rule: who maps is charged, whoever opened the iommufd; a number of somebody else's fd is worth nothing.
 */
import { VFIO_DEVICE_BIND_IOMMUFD } from '@vfiolab/uapi';
import { FUNCTIONS, Lab, NOTHING, user } from './support/lab.js';
import { PAGE, pattern } from './support/program.js';

const AT = 0x100000n;
const MEMLOCK = 8 * PAGE;

it('66: iommufd opened by A, passed over a socket, device bound by B; A maps its own memory, charged to A', async () => {
  const lab = await Lab.real();
  const a = await lab.program('a', user(1000, MEMLOCK));
  const b = await lab.process('b', user(2000, MEMLOCK));
  const ioas = await a.ioas();
  b.fd = await a.send(a.fd, b);
  const device = await b.device(FUNCTIONS[0]);
  const va = await a.memory(2 * PAGE);
  expect(await a.map(ioas, AT, va, 2 * PAGE)).toBeUndefined();
  await device.attached(ioas);
  expect([await a.counters(), await b.counters()]).toMatchObject([
    { pinned: 2, user: 2 },
    { pinned: 0, user: 0 },
  ]);
  await a.write(va, pattern(16));
  await device.fetch(AT, 16);
  await device.store(AT + BigInt(PAGE), 16);
  expect(await a.read(va + BigInt(PAGE), 16)).toEqual([...pattern(16)]);
  // What B maps through the same file is B's memory, and B's charge; limits are those of each.
  const own = await b.memory(PAGE);
  expect(await b.map(ioas, 2n * AT, own, PAGE)).toBeUndefined();
  expect([await a.counters(), await b.counters()]).toMatchObject([
    { pinned: 2, user: 2 },
    { pinned: 1, user: 1 },
  ]);
  expect(await a.map(ioas, 3n * AT, await a.memory(MEMLOCK), MEMLOCK)).toBe('ENOMEM');
  expect(await b.map(ioas, 3n * AT, await b.memory(MEMLOCK - PAGE), MEMLOCK - PAGE)).toBeUndefined();
  expect(await lab.afterwards(a, b)).toEqual(NOTHING);
});

it('66: A may end: what it mapped stays for the device of B, which ends with B', async () => {
  const lab = await Lab.real();
  const [a, b] = [await lab.program('a'), await lab.process('b')];
  const [ioas, va] = [await a.ioas(), await a.memory(PAGE)];
  await a.write(va, pattern(16));
  expect(await a.map(ioas, AT, va, PAGE)).toBeUndefined();
  b.fd = await a.send(a.fd, b);
  const device = await b.device(FUNCTIONS[0]);
  await device.attached(ioas);
  await a.exit();
  const own = await b.memory(PAGE);
  expect(await b.map(ioas, 2n * AT, own, PAGE)).toBeUndefined();
  await device.fetch(AT, 16);
  await device.store(2n * AT, 16);
  expect(await b.read(own, 16)).toEqual([...pattern(16)]);
  expect(await lab.afterwards(b)).toEqual(NOTHING);
});

it('66: the other way round: the device opened by A, bound and driven by B', async () => {
  const lab = await Lab.real();
  const [a, b] = [await lab.process('a'), await lab.program('b')];
  const [minor] = await a.must(a.process.listdir(`/sys/bus/pci/devices/${FUNCTIONS[0]}/vfio-dev`));
  const opened = await a.must(a.process.open(`/dev/vfio/devices/${minor}`));
  const fd = await a.send(opened, b);
  expect(await b.errno(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: b.fd }, fd)).toBeUndefined();
  // One open file: A has access as well.
  expect(await a.errno(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: 99 }, opened)).toBe('EINVAL');
  expect(await lab.afterwards(a, b)).toEqual(NOTHING);
});

it('66: what was not passed cannot be used: not its number, and not the capability behind it', async () => {
  const lab = await Lab.real();
  const [a, b] = [await lab.program('a'), await lab.process('b')];
  const [minor] = await b.must(b.process.listdir(`/sys/bus/pci/devices/${FUNCTIONS[0]}/vfio-dev`));
  const device = await b.must(b.process.open(`/dev/vfio/devices/${minor}`));
  const bind = (iommufd: number) => b.errno(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd }, device);
  expect([await bind(a.fd + 10), await bind(device)]).toEqual(['EBADF', 'EBADFD']);
  const stolen = a.process.fileOf(a.fd).token;
  b.process.fds.put(50, { token: stolen, owner: 'iommufd', kind: 'iommufd', users: 1 });
  expect(await bind(50)).toBe('EBADF');
  b.process.fds.drop(50);
  const passed = await a.send(a.fd, b);
  expect(await bind(passed)).toBeUndefined();
  expect(await lab.afterwards(a, b)).toEqual(NOTHING);
});
