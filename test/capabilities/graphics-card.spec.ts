/** A device with much memory of its own, and engines that copy while the program does other things. */
import { gpu } from '@vfiolab/devices';
import { VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { BDFS, type Device, Host, MEMORY_BAR, NOTHING, type Program, region } from './support/passthrough.js';

const GIB = 2 ** 30;
const MEMORY = 128 * GIB;
const IOVA = 0x10_0000n;
const MSIX = 2;
const [FROM_HOST, TO_HOST] = [gpu.START | gpu.INTERRUPT, gpu.START | gpu.TO_HOST | gpu.INTERRUPT];

const host = () => Host.boot({ model: 'gpu', memory: MEMORY });

async function begin(card: Device, source: bigint, destination: bigint, count: number, control: number) {
  await card.write(gpu.ENGINE + gpu.SOURCE, source, 8);
  await card.write(gpu.ENGINE + gpu.DESTINATION, destination, 8);
  await card.write(gpu.ENGINE + gpu.COUNT, BigInt(count), 8);
  await card.write(gpu.ENGINE + gpu.CONTROL, BigInt(control));
}

const status = async (card: Device): Promise<number> => Number(await card.read(gpu.ENGINE + gpu.STATUS));
const pause = (p: Program, ms: number): Promise<void> => p.host.run(p.process.link.ports.sleep(ms));

it('what a program stores through the mapped BAR at its very end is copied to its memory', async () => {
  const lab = await host();
  const p = await lab.program('driver');
  const [va, card] = [await p.mapped(IOVA, 4096), await p.device()];
  expect(await card.read(gpu.MEMORY_BYTES, 8)).toBe(BigInt(MEMORY));
  const event = await p.eventfd();
  expect(await card.setIrqs(MSIX, 0, [event])).toBeUndefined();
  const window = await p.must(p.process.mapDevice(card.fd, region(MEMORY_BAR) + MEMORY - 4096, 4096));
  await p.must(p.process.store(window, 8, Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8])));
  await begin(card, BigInt(MEMORY - 4096), IOVA, 8, TO_HOST);
  expect(await status(card)).toBe(gpu.BUSY);
  expect(await p.count(event)).toBe(0);
  await pause(p, 50);
  expect(await status(card)).toBe(gpu.DONE);
  expect(await p.count(event)).toBe(1);
  expect([...(await p.must(p.process.read(va, 8)))]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('a copy from where nothing is mapped fails, and the engine is free again', async () => {
  const lab = await host();
  const p = await lab.program('driver');
  await p.mapped(IOVA, 4096);
  const card = await p.device();
  await begin(card, 0x900_0000n, 0n, 4096, FROM_HOST);
  await pause(p, 50);
  expect(await status(card)).toBe(gpu.FAILED);
  await begin(card, IOVA, 0n, 4096, FROM_HOST);
  await pause(p, 50);
  expect(await status(card)).toBe(gpu.DONE);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it.each([
  [
    'reset',
    async (p: Program, card: Device) =>
      expect(await p.host.run(p.process.ioctlPlain(card.fd, VFIO_DEVICE_RESET))).toMatchObject({ errno: undefined }),
  ],
  ['closed', (p: Program, card: Device) => p.must(p.process.close(card.fd))],
] as const)('a copy that is under way when the card is %s never arrives', async (_how, end) => {
  const lab = await host();
  const p = await lab.program('driver');
  const [va, card] = [await p.mapped(IOVA, 4096), await p.device()];
  await p.must(p.process.write(va, new Uint8Array(4096).fill(7)));
  await begin(card, 0n, IOVA, 160_000, TO_HOST);
  await end(p, card);
  await pause(p, 100);
  expect(Buffer.from(await p.must(p.process.read(va, 4096)))).toEqual(Buffer.alloc(4096, 7));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('a copy outlives a crash of the card: it is done once, and its interrupt comes', async () => {
  const lab = await host();
  const p = await lab.program('driver');
  const [va, card] = [await p.mapped(IOVA, 4096), await p.device()];
  const event = await p.eventfd();
  expect(await card.setIrqs(MSIX, 0, [event])).toBeUndefined();
  await p.must(p.process.write(va, new Uint8Array(4096).fill(7)));
  await begin(card, 0n, IOVA, 4096, TO_HOST);
  p.host.host.crash(`device:${BDFS[0].replace('.', '_')}`, 40);
  await pause(p, 300);
  expect(await status(card)).toBe(gpu.DONE);
  expect(await p.count(event)).toBe(1);
  expect(Buffer.from(await p.must(p.process.read(va, 4096)))).toEqual(Buffer.alloc(4096));
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
