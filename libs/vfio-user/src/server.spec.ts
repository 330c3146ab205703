import { statSync } from 'node:fs';
import { decode, encode, vfio_irq_info, vfio_irq_set, vfio_region_info } from '@vfiolab/uapi';
import { VfioUserClient } from './client.js';
import { native } from './native.js';
import { GuestRam, Rig } from './testing/rig.js';
import * as wire from './wire.js';

const CONFIG = 7;
const BUFFER = 0x40000n;
const [SOURCE, DESTINATION, COUNT, COMMAND] = [0x80, 0x88, 0x90, 0x98];
const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);
const u32 = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

let rig: Rig;
let client: VfioUserClient;

async function begin(options: Parameters<typeof Rig.start>[0] = {}): Promise<void> {
  rig = await Rig.start(options);
  client = await VfioUserClient.open(rig.path);
}

afterEach(async () => {
  client.close();
  expect(await rig.quiet()).toEqual({});
  expect(await rig.end()).toEqual([]);
});

/** Memory decoding and bus master on. */
const enable = (): Promise<unknown> => client.write(CONFIG, 4, Uint8Array.of(6, 1));

/** One DMA of the device; `toMemory`: from its buffer. */
async function dma(iova: bigint, count: number, toMemory: boolean): Promise<void> {
  const [source, destination] = toMemory ? [BUFFER, iova] : [iova, BUFFER];
  await client.write(0, SOURCE, u64(source));
  await client.write(0, DESTINATION, u64(destination));
  await client.write(0, COUNT, u64(BigInt(count)));
  await client.write(0, COMMAND, u64(toMemory ? 3n : 1n));
}

const setIrqs = (
  flags: number,
  index: number,
  start: number,
  count: number,
  fds: number[] = [],
  data: number[] = [],
) => {
  const head = encode(vfio_irq_set, { argsz: 20 + data.length, flags, index, start, count });
  return client.call(wire.DEVICE_SET_IRQS, Uint8Array.from([...head, ...data]), fds);
};

it('tells what the device is, as the ioctls of a program do', async () => {
  await begin();
  expect(statSync(rig.path).mode & 0o777).toBe(0o600);
  const info = await client.call(wire.DEVICE_GET_INFO, u32(16, 0, 0, 0));
  expect(info).toEqual({ errno: undefined, payload: u32(16, 2, 9, 5) });
  const regions = await Promise.all(
    [0, 1, 6, 7].map(async (index) => {
      const { payload } = await client.call(
        wire.DEVICE_GET_REGION_INFO,
        encode(vfio_region_info, { argsz: 32, index }),
      );
      const { flags, size, argsz } = decode(vfio_region_info, payload);
      return [index, flags, size, argsz];
    }),
  );
  // Never mappable: a region has no file of its own.
  expect(regions).toEqual([
    [0, 3, 0x100000n, 32],
    [1, 0, 0n, 32],
    [6, 0, 0n, 32],
    [7, 3, 256n, 32],
  ]);
  const irqs = await Promise.all(
    [0, 1, 2].map(async (index) => {
      const { payload } = await client.call(wire.DEVICE_GET_IRQ_INFO, encode(vfio_irq_info, { argsz: 16, index }));
      const { flags, count } = decode(vfio_irq_info, payload);
      return [flags, count];
    }),
  );
  expect(irqs).toEqual([
    [7, 1],
    [9, 1],
    [9, 0],
  ]);
  const config = await client.read(CONFIG, 0, 256);
  expect(hex(config.payload.subarray(0, 4))).toBe('3412e811');
  expect(config.payload.length).toBe(256);
});

it("DMA goes to the VMM's own pages and nowhere else", async () => {
  await begin();
  const guest = new GuestRam(1 << 20);
  guest.write(0x5000, [1, 2, 3, 4, 5, 6, 7, 8]);
  expect(await client.map(0x10000n, 0x80000, { fd: guest.fd, offset: 0x1000 })).toMatchObject({ errno: undefined });
  await enable();
  await dma(0x10000n + 0x4000n, 8, false);
  await dma(0x10000n + 0x7ffffn - 7n, 8, true);
  expect(guest.read(0x80ff8, 8)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  // Behind the area: the IOMMU refuses, and the page that follows in the file stays as it is.
  await dma(0x90000n, 8, true);
  expect(guest.read(0x81000, 8)).toEqual(new Array(8).fill(0));
  // What the VMM changes is what the device reads next.
  guest.write(0x5000, [99]);
  await dma(0x14000n, 8, false);
  await dma(0x18000n, 8, true);
  expect(guest.read(0x9000, 2)).toEqual([99, 2]);
  expect(await client.unmap(0x10000n, 0x80000)).toMatchObject({ errno: undefined });
  await dma(0x18008n, 8, true);
  expect(guest.read(0x9008, 1)).toEqual([0]);
  expect(await client.map(0x10000n, 0x1000, { fd: guest.fd })).toMatchObject({ errno: undefined });
  guest.free();
});

it('a read-only area can be read and not be written', async () => {
  await begin();
  const guest = new GuestRam(0x2000);
  guest.write(0, new Array(0x2000).fill(7));
  await client.map(0x100000n, 0x2000, { fd: guest.fd, flags: wire.DMA_READABLE });
  await enable();
  await dma(0x100000n, 16, false);
  await dma(0x101000n, 16, true);
  expect(guest.read(0x1000, 1)).toEqual([7]);
  await client.map(0x200000n, 0x2000, { fd: guest.fd });
  guest.write(0, new Array(0x2000).fill(1));
  await dma(0x200000n, 16, true);
  expect(guest.read(15, 2)).toEqual([7, 1]);
  guest.free();
});

it('memory without a descriptor is asked for, in pieces that the VMM takes', async () => {
  rig = await Rig.start();
  client = await VfioUserClient.open(rig.path, { maxTransfer: 1000 });
  const bytes = new Uint8Array(0x4000).map((_, i) => i * 7);
  const at = (address: bigint) => Number(address - 0x40000n);
  client.memory = {
    read: (address, count) => bytes.slice(at(address), at(address) + count),
    write: (address, data) => (bytes.set(data, at(address)), true),
  };
  expect(await client.map(0x40000n, 0x4000, {})).toMatchObject({ errno: undefined });
  await enable();
  await dma(0x41000n, 2500, false);
  expect(client.heard).toEqual([1000, 1000, 500].map((n) => ({ command: wire.DMA_READ, bytes: n })));
  await dma(0x42000n, 2500, true);
  expect(hex(bytes.subarray(0x2000, 0x2000 + 2500))).toBe(hex(bytes.subarray(0x1000, 0x1000 + 2500)));
  // What it cannot read is all ones, as on a bus where nobody answers.
  client.memory.read = () => undefined;
  await dma(0x40000n, 4, false);
  await dma(0x43000n, 4, true);
  expect(hex(bytes.subarray(0x3000, 0x3004))).toBe('ffffffff');
});

it('a VMM that does not answer in time has not got that memory', async () => {
  await begin({ timeoutMs: 50 });
  const guest = new GuestRam(0x1000);
  await client.map(0x40000n, 0x1000, {});
  await client.map(0x80000n, 0x1000, { fd: guest.fd });
  client.memory = { read: () => 'silence', write: () => 'silence' };
  await enable();
  await dma(0x40000n, 4, false);
  await dma(0x80000n, 4, true);
  expect(guest.read(0, 5)).toEqual([255, 255, 255, 255, 0]);
  guest.free();
});

it('interrupts arrive on the eventfds of the VMM: INTx with its unmask, then MSI', async () => {
  await begin();
  await enable();
  const [irq, resample, msi] = [native().eventfd(), native().eventfd(), native().eventfd()];
  const count = async (fd: number): Promise<number> => {
    for (let i = 0; i < 50; i++) {
      const n = native().eventRead(fd);
      if (n >= 0) return n;
      await new Promise((r) => setTimeout(r, 2));
    }
    return 0;
  };
  expect(await setIrqs(0x24, 0, 0, 1, [irq])).toMatchObject({ errno: undefined });
  expect(await setIrqs(0x14, 0, 0, 1, [msi])).toMatchObject({ errno: undefined });
  // QEMU closes its eventfd for unmasking and sends another one, as a kernel lets it.
  expect(await setIrqs(0x14, 0, 0, 1, [resample])).toMatchObject({ errno: undefined });
  await client.write(0, 0x60, u32(1));
  await client.write(0, 0x60, u32(1));
  expect(await count(irq)).toBe(1);
  // The line is still up: the unmask lets it signal again at once.
  native().eventWrite(resample, 1);
  expect(await count(irq)).toBe(1);
  await client.write(0, 0x64, u32(1));
  expect(await setIrqs(0x21, 0, 0, 0)).toMatchObject({ errno: undefined });
  expect(await setIrqs(0x24, 1, 0, 1, [msi])).toMatchObject({ errno: undefined });
  await client.write(0, 0x60, u32(1));
  await client.write(0, 0x60, u32(1));
  expect(await count(msi)).toBeGreaterThan(0);
  expect(native().eventRead(irq)).toBe(-11);
  // Without descriptors the vector loses its own.
  expect(await setIrqs(0x24, 1, 0, 1)).toMatchObject({ errno: undefined });
  await count(msi);
  await client.write(0, 0x60, u32(1));
  expect(native().eventRead(msi)).toBe(-11);
  for (const fd of [irq, resample, msi]) native().close(fd);
});

it('posted writes and several writes in one message', async () => {
  await begin();
  await enable();
  client.post(wire.REGION_WRITE, VfioUserClient.writePayload(0, 4, u32(0x0f0f0f0f)));
  expect(hex((await client.read(0, 4, 4)).payload)).toBe('f0f0f0f0');
  const one = (offset: number, data: Uint8Array): Uint8Array => {
    const all = encode(wire.vfio_user_write, { offset: BigInt(offset), region: 0, count: data.length });
    all.set(data, 16);
    return all;
  };
  const writes = (...each: Uint8Array[]) =>
    Uint8Array.from([...u64(BigInt(each.length)), ...each.flatMap((w) => [...w])]);
  const done = await client.call(wire.REGION_WRITE_MULTI, writes(one(4, u32(1)), one(SOURCE, u64(5n))));
  expect(done).toEqual({ errno: undefined, payload: u64(2n) });
  expect(hex((await client.read(0, SOURCE, 8)).payload)).toBe('0500000000000000');
  // The second one lies behind the BAR.
  const part = await client.call(
    wire.REGION_WRITE_MULTI,
    writes(one(4, u32(2)), one(0x100000, u32(1)), one(4, u32(3))),
  );
  expect(part.payload).toEqual(u64(1n));
  expect(hex((await client.read(0, 4, 4)).payload)).toBe('fdffffff');
});

it('what the function cannot do is refused as the kernel refuses it: this one cannot be reset alone', async () => {
  await begin();
  await enable();
  await client.write(0, 4, u32(1));
  expect((await client.call(wire.DEVICE_RESET)).errno).toBe('EINVAL');
  expect((await client.read(0, 4, 4)).errno).toBeUndefined();
});

it('the second VMM is told that the device is in use; after the first one it has it', async () => {
  await begin();
  const second = VfioUserClient.connect(rig.path);
  expect(await second.version()).toMatchObject({ errno: 'EINVAL' });
  await second.closed;
  client.close();
  client = await VfioUserClient.open(rig.path);
  expect((await client.read(CONFIG, 0, 4)).errno).toBeUndefined();
});
