import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { APERTURE, PAGE, pattern } from './support/program.js';

it('29: a HWPT is filled with the areas there are, and with those that come', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const [ioas, va] = [await p.ioas(), await p.memory(8 * PAGE)];
  const { object, device } = await p.mock(ioas);
  expect(await p.map(ioas, APERTURE, va, 4 * PAGE)).toBeUndefined();
  const hwpt = await p.hwpt(device, ioas);
  expect(await p.shows(hwpt, APERTURE, va, 4 * PAGE)).toBeUndefined();
  expect(await p.shows(hwpt, APERTURE, va + BigInt(PAGE), PAGE)).toBe('EINVAL');
  expect(await p.map(ioas, APERTURE + 0x10000n, va + BigInt(4 * PAGE), 4 * PAGE)).toBeUndefined();
  expect(await p.shows(hwpt, APERTURE + 0x10000n, va + BigInt(4 * PAGE), 4 * PAGE)).toBeUndefined();
  expect(await p.unmap(ioas, APERTURE, 4 * PAGE)).toBe(BigInt(4 * PAGE));
  expect(await p.shows(hwpt, APERTURE, va, PAGE)).toBe('EINVAL');
  expect(await p.replaceErrno(object, hwpt)).toBeUndefined();
  expect(await p.destroy(hwpt)).toBe('EBUSY');
  expect(await p.replaceErrno(object, ioas)).toBeUndefined();
  expect(await p.destroy(hwpt)).toBeUndefined();
  expect(await p.replaceErrno(object, hwpt)).toBe('ENOENT');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('29: a device is attached to a HWPT by its id, and its DMA goes through it', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  const [ioas, va] = [await p.ioas(), await p.memory(2 * PAGE)];
  await p.write(va, pattern(100));
  expect(await p.map(ioas, 0x10000n, va, 2 * PAGE)).toBeUndefined();
  const [device, other] = [await p.device(FUNCTIONS[0]), await p.device(FUNCTIONS[1])];
  const hwpt = await p.hwpt(device.id, ioas);
  expect(await device.attached(hwpt)).toBe(hwpt);
  expect(await other.attached(hwpt)).toBe(hwpt);
  await device.fetch(0x10000n, 100);
  await device.store(0x11000n, 100);
  expect(await p.read(va + BigInt(PAGE), 100)).toEqual([...pattern(100)]);
  await other.fetch(0x10000n + 50n, 50);
  await other.store(0x11800n, 50);
  expect(await p.read(va + 0x1800n, 50)).toEqual([...pattern(50, 51)]);
  // A HWPT that was made by name is not given to a device that asks for the IOAS.
  expect(await device.detach()).toBeUndefined();
  expect(await device.attached(ioas)).not.toBe(hwpt);
  expect(await p.destroy(hwpt)).toBe('EBUSY');
  expect(await other.detach()).toBeUndefined();
  expect(await p.destroy(hwpt)).toBeUndefined();
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
