import { readdirSync } from 'node:fs';
import { Process } from '@vfiolab/client';
import { IOMMU } from '@vfiolab/core';
import { encode, vfio_irq_set } from '@vfiolab/uapi';
import { versionPayload } from './capabilities.js';
import { VfioUserClient } from './client.js';
import { native } from './native.js';
import { VfioUserServer } from './server.js';
import { ENGINE, GuestRam, Rig } from './testing/rig.js';
import * as wire from './wire.js';

const [BAR0, CONFIG] = [0, 7];
const BUFFER = 0x40000n;
const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);
const fds = (): number => readdirSync('/proc/self/fd').length;
const no = undefined;
const soon = (ms = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let rig: Rig;
beforeEach(async () => void (rig = await Rig.start({ timeoutMs: 500 })));
afterEach(async () => {
  expect(await rig.quiet()).toEqual({});
  expect(await rig.end()).toEqual([]);
  expect(native().mapped()).toBe(0);
});

const enable = (client: VfioUserClient): Promise<unknown> => client.write(CONFIG, 4, Uint8Array.of(6, 1));

/** Everything but the command itself of a DMA from memory to the device. */
async function prepared(client: VfioUserClient, iova: bigint, count: number): Promise<void> {
  await enable(client);
  await client.write(BAR0, 0x80, u64(iova));
  await client.write(BAR0, 0x88, u64(BUFFER));
  await client.write(BAR0, 0x90, u64(BigInt(count)));
}

it('a VMM that goes in the middle of a DMA of its own memory leaves nothing', async () => {
  const client = await VfioUserClient.open(rig.path);
  client.memory = { read: () => 'silence', write: () => 'silence' };
  await client.map(0x10000n, 0x1000, {});
  await prepared(client, 0x10000n, 64);
  client.post(wire.REGION_WRITE, VfioUserClient.writePayload(BAR0, 0x98, u64(1n)));
  while (client.heard.length === 0) await soon(1);
  client.close();
  expect(await rig.quiet()).toEqual({});
  const next = await VfioUserClient.open(rig.path);
  // The next one finds the device as after power-on.
  await enable(next);
  expect((await next.read(BAR0, 0x90, 8)).payload).toEqual(u64(0n));
  next.close();
});

it('a VMM that goes with commands under way leaves no descriptors', async () => {
  const before = fds();
  for (let round = 0; round < 5; round++) {
    const ram = new GuestRam(1 << 16);
    const irq = native().eventfd();
    const client = await VfioUserClient.open(rig.path);
    for (let i = 0; i < 8; i++) {
      const map = { argsz: 32, flags: 3, offset: 0n, address: BigInt(i) << 16n, size: 0x10000n };
      client.post(wire.DMA_MAP, encode(wire.vfio_user_dma_map, map), { fds: [ram.fd] });
      const set = encode(vfio_irq_set, { argsz: 20, flags: 0x24, index: 1, start: 0, count: 1 });
      client.post(wire.DEVICE_SET_IRQS, set, { fds: [irq] });
    }
    if (round > 0) await client.read(CONFIG, 0, 4);
    client.close();
    expect(await rig.quiet()).toEqual({});
    ram.free();
    native().close(irq);
  }
  expect(fds()).toBe(before);
});

it('a message may come byte by byte, and many may come at once', async () => {
  const client = await VfioUserClient.open(rig.path);
  const place = encode(wire.vfio_user_region_access, { offset: 0n, region: CONFIG, count: 4 });
  const read = wire.makeMessage({ id: 77, command: wire.REGION_READ, size: 32, flags: wire.NO_REPLY, error: 0 });
  read.set(place, 16);
  for (const byte of read) {
    client.raw(Uint8Array.of(byte));
    await soon(1);
  }
  const all = await Promise.all(Array.from({ length: 2000 }, (_, i) => client.read(CONFIG, i % 252, 4)));
  expect(all.every(({ errno, payload }) => errno === undefined && payload.length === 4)).toBe(true);
  client.close();
});

it('descriptors belong to the message in which they came', async () => {
  const client = await VfioUserClient.open(rig.path);
  const [a, b] = [new GuestRam(0x1000), new GuestRam(0x1000)];
  a.write(0, [0xaa]);
  b.write(0, [0xbb]);
  client.memory = { read: (_at, count) => new Uint8Array(count).fill(0xcc), write: () => true };
  // Back to back: with a descriptor, without, with another one.
  const maps = [
    client.map(0x1000n, 0x1000, { fd: a.fd }),
    client.map(0x2000n, 0x1000, {}),
    client.map(0x3000n, 0x1000, { fd: b.fd }),
  ];
  expect((await Promise.all(maps)).map(({ errno }) => errno)).toEqual([undefined, undefined, undefined]);
  const out = new GuestRam(0x1000);
  await client.map(0x8000n, 0x1000, { fd: out.fd });
  for (const page of [1, 2, 3]) {
    await prepared(client, BigInt(page) << 12n, 1);
    await client.write(BAR0, 0x98, u64(1n));
    await client.write(BAR0, 0x80, u64(BUFFER));
    await client.write(BAR0, 0x88, u64(0x8000n + BigInt(page)));
    await client.write(BAR0, 0x98, u64(3n));
  }
  expect(out.read(1, 3)).toEqual([0xaa, 0xcc, 0xbb]);
  client.close();
  for (const ram of [a, b, out]) ram.free();
});

it('a VMM that cuts its memory off behind our back reads as zero there, and nobody falls', async () => {
  const client = await VfioUserClient.open(rig.path);
  const [ram, out] = [new GuestRam(0x4000), new GuestRam(0x1000)];
  ram.write(0x3000, [1, 2, 3, 4]);
  out.write(0, [9, 9, 9, 9]);
  await client.map(0x10000n, 0x4000, { fd: ram.fd });
  await client.map(0x20000n, 0x1000, { fd: out.fd });
  const before = native().faults();
  native().truncate(ram.fd, 0x1000);
  await prepared(client, 0x13000n, 4);
  await client.write(BAR0, 0x98, u64(1n));
  await client.write(BAR0, 0x80, u64(BUFFER));
  await client.write(BAR0, 0x88, u64(0x20000n));
  await client.write(BAR0, 0x98, u64(3n));
  expect(out.read(0, 4)).toEqual([0, 0, 0, 0]);
  expect(native().faults()).toBe(before + 1);
  client.close();
  ram.free();
  out.free();
});

it('what the guest does wrong is a fault of the host, with the address', async () => {
  const client = await VfioUserClient.open(rig.path);
  await prepared(client, 0xdead000n, 16);
  await client.write(BAR0, 0x98, u64(1n));
  const { lines } = await rig.lab.inspect(IOMMU);
  expect(lines.filter((line) => line.includes('dead000'))).not.toEqual([]);
  client.close();
});

it('other programs of the host do not get the device meanwhile', async () => {
  const client = await VfioUserClient.open(rig.path);
  const other = new Process('other', rig.lab.link('other'));
  await other.start();
  const [node] = ((await other.listdir(`/sys/bus/pci/devices/${ENGINE}/vfio-dev`)) as { value: string[] }).value;
  expect((await other.open(`/dev/vfio/devices/${node}`)).ok).toBe(true);
  const unbind = other.sysfsWrite(`/sys/bus/pci/drivers/vfio-pci/unbind`, ENGINE);
  await soon();
  expect((await client.read(CONFIG, 0, 4)).errno).toBeUndefined();
  // Unbinding waits for the VMM.
  client.close();
  await other.exit();
  await unbind.catch(() => undefined);
});

it('the server ends with its VMMs, and takes its socket away; a stale one is no obstacle, a live one is', async () => {
  const client = await VfioUserClient.open(rig.path);
  const options = { lab: rig.lab, loans: new Map(), bdf: ENGINE, path: rig.path };
  expect(() => new VfioUserServer(options)).toThrow('somebody serves there already');
  await rig.server.close();
  await client.closed;
  expect(() => VfioUserClient.connect(rig.path)).toThrow('ENOENT');
  const again = new VfioUserServer(options);
  const next = await VfioUserClient.open(rig.path);
  next.close();
  await again.close();
});

it('a VMM that does not read its replies is cut off at the bound', async () => {
  const silent = native().connect(rig.path);
  const send = (command: number, payload: Uint8Array): number => {
    const size = 16 + payload.length;
    const message = wire.makeMessage({ id: 1, command, size, flags: 0, error: 0 });
    message.set(payload, 16);
    return native().send(silent, message, 0, size);
  };
  send(wire.VERSION, versionPayload({ maxFds: 1, maxTransfer: 1 << 20 }));
  const read = encode(wire.vfio_user_region_access, { offset: 0n, region: BAR0, count: 1 << 20 });
  // What is unread: 14 MiB and the socket's own buffer.
  for (let i = 0; i < 14; i++) expect(send(wire.REGION_READ, read)).toBe(32);
  await soon(200);
  expect(rig.server.connections).toBe(1);
  for (let i = 0; i < 6; i++) send(wire.REGION_READ, read);
  expect(await rig.quiet()).toEqual({});
  expect(rig.server.connections).toBe(0);
  native().close(silent);
});

it('there is a bound for connections', async () => {
  const idle = Array.from({ length: 16 }, () => VfioUserClient.connect(rig.path));
  await soon();
  expect(rig.server.connections).toBe(16);
  const late = VfioUserClient.connect(rig.path);
  await late.closed;
  for (const each of idle) each.close();
  expect(await rig.quiet()).toEqual({});
});

it('there is a bound for areas of memory, which the VMM is told', async () => {
  const narrow = await Rig.start({ maxMaps: 3 });
  const client = VfioUserClient.connect(narrow.path);
  const { payload } = await client.version();
  expect(JSON.parse(Buffer.from(payload.subarray(4, -1)).toString())).toMatchObject({
    capabilities: { max_dma_maps: 3 },
  });
  const ram = new GuestRam(0x1000);
  const map = (at: number) => client.map(BigInt(at) << 12n, 0x1000, { fd: ram.fd });
  expect((await Promise.all([1, 2, 3, 4].map(map))).map(({ errno }) => errno)).toEqual([no, no, no, 'ENOSPC']);
  expect((await client.unmap(0x2000n, 0x1000)).errno).toBeUndefined();
  expect((await map(4)).errno).toBeUndefined();
  client.close();
  expect(await narrow.quiet()).toEqual({});
  expect(await narrow.end()).toEqual([]);
  ram.free();
});

it('a device that the lab has lost is ENODEV, and the end of the connection', async () => {
  await rig.server.close();
  // Reads of the device are never answered from some time on.
  let lost = false;
  const lab = {
    link: (name: string) => {
      const link = rig.lab.link(name);
      const call = link.caller.call.bind(link.caller);
      const silent: typeof call = (to, method, args) =>
        lost && method.name === 'sys.pread' ? new Promise(() => undefined) : call(to, method, args);
      return Object.assign(link, { caller: Object.assign(link.caller, { call: silent }) });
    },
    unlink: (name: string) => rig.lab.unlink(name),
  };
  const path = `${rig.path}2`;
  const server = new VfioUserServer({ lab, loans: new Map(), bdf: ENGINE, path, labMs: 100 });
  const client = await VfioUserClient.open(path);
  expect((await client.read(CONFIG, 0, 4)).errno).toBeUndefined();
  lost = true;
  const [first, second] = await Promise.all([client.read(CONFIG, 0, 4), client.read(CONFIG, 0, 4)]);
  expect([first.errno, second.errno]).toEqual(['ENODEV', 'ENODEV']);
  await client.closed;
  await server.close();
});
