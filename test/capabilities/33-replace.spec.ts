import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { PAGE, type Program } from './support/program.js';

const AT = 0x100000n;
const SCRATCH = 0x200000n;

/** Two IOAS with different bytes behind AT, and the same memory behind SCRATCH. */
async function views(p: Program) {
  const scratch = await p.memory(PAGE);
  const made: number[] = [];
  for (const byte of [0xaa, 0xbb]) {
    const [ioas, va] = [await p.ioas(), await p.memory(2 * PAGE)];
    await p.write(va, new Uint8Array(2 * PAGE).fill(byte));
    expect(await p.map(ioas, AT, va, 2 * PAGE)).toBeUndefined();
    expect(await p.map(ioas, SCRATCH, scratch, PAGE)).toBeUndefined();
    made.push(ioas);
  }
  return { scratch, from: made[0]!, to: made[1]! };
}

it('33: ATTACH to another IOAS while DMA runs: every transfer sees the old memory or the new, none is lost', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  const { scratch, from, to } = await views(p);
  const device = await p.device(FUNCTIONS[0]);
  await device.attached(from);
  const seen: number[] = [];
  for (let lag = 0; lag < 40; lag++) {
    await p.write(scratch, new Uint8Array(PAGE));
    const [moved] = await lab.host.together(() =>
      Promise.all([
        device.attach(lag % 2 === 0 ? to : from),
        lab.host
          .pause(lag * 0.04)
          .then(() => device.fetch(AT, 4096))
          .then(() => device.store(SCRATCH, 4096)),
      ]),
    );
    expect(moved).toBeUndefined();
    const bytes = new Set(await p.read(scratch, 4096));
    expect(bytes.size).toBe(1);
    const [byte] = [...bytes];
    expect([0xaa, 0xbb]).toContain(byte);
    const old = lag % 2 === 0 ? 0xaa : 0xbb;
    seen.push(byte === old ? 0 : 1);
  }
  // Early transfers saw the old memory, late ones the new.
  expect(new Set(seen)).toEqual(new Set([0, 1]));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('33: when the new IOAS cannot be attached the old map stays', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  const { scratch, from, to } = await views(p);
  // In the way of the device's MSI window.
  expect(await p.map(to, 0xfee00000n, scratch, PAGE)).toBeUndefined();
  const device = await p.device(FUNCTIONS[0]);
  const hwpt = await device.attached(from);
  for (const pt of [to, 4711]) {
    expect(await device.attach(pt)).toBe(pt === to ? 'EADDRINUSE' : 'ENOENT');
    await p.write(scratch, new Uint8Array(PAGE));
    await device.fetch(AT, 64);
    await device.store(SCRATCH, 64);
    expect(new Set(await p.read(scratch, 64))).toEqual(new Set([0xaa]));
  }
  expect(await p.unmap(to, 0xfee00000n, PAGE)).toBe(BigInt(PAGE));
  expect(await device.attached(to)).not.toBe(hwpt);
  await device.fetch(AT, 64);
  await device.store(SCRATCH, 64);
  expect(new Set(await p.read(scratch, 64))).toEqual(new Set([0xbb]));
  expect(await p.destroy(hwpt)).toBe('ENOENT');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('33: a group moves as a whole: the sibling sees the new memory too', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  const { scratch, from, to } = await views(p);
  const [first, sibling] = [await p.device(FUNCTIONS[2]), await p.device(FUNCTIONS[3])];
  await first.attached(from);
  await sibling.attached(from);
  const hwpt = await first.attached(to);
  await sibling.fetch(AT, 64);
  await sibling.store(SCRATCH, 64);
  expect(new Set(await p.read(scratch, 64))).toEqual(new Set([0xbb]));
  expect(await sibling.attach(hwpt)).toBeUndefined();
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
