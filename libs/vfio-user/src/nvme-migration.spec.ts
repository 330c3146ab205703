/** A working NVMe controller is moved from one host to another (I44, I45). */
import { decode, encode, vfio_device_feature, vfio_device_feature_mig_state } from '@vfiolab/uapi';
import { VfioUserClient } from './client.js';
import { NvmeDriver, READ, WRITE } from './nvme-driver.js';
import { Rig } from './testing/rig.js';
import * as wire from './wire.js';

const [GET, SET] = [1 << 16, 1 << 17];
const [STATE, START, REPORT] = [2, 6, 8];
const [STOPPED, RUNNING, STOP_COPY, RESUMING, PRE_COPY] = [1, 2, 3, 4, 6];
const [MSI, PAGE] = [1, 4096];
const IOVA = 0x1000_0000n;
const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

const feature = (client: VfioUserClient, flags: number, data: Uint8Array) =>
  client.call(wire.DEVICE_FEATURE, Uint8Array.from([...encode(vfio_device_feature, { argsz: 4096, flags }), ...data]));
const moveTo = async (client: VfioUserClient, device_state: number) =>
  (await feature(client, SET | STATE, encode(vfio_device_feature_mig_state, { device_state, data_fd: -1 }))).errno;

/** What there is to read now. */
async function readData(client: VfioUserClient): Promise<number[]> {
  const { payload } = await client.call(
    wire.MIG_DATA_READ,
    encode(wire.vfio_user_mig_data, { argsz: 8 + 4096, size: 4096 }),
  );
  return payload.length < 8 ? [] : [...payload.subarray(8, 8 + decode(wire.vfio_user_mig_data, payload).size)];
}

async function writeData(client: VfioUserClient, bytes: readonly number[]): Promise<void> {
  const head = encode(wire.vfio_user_mig_data, { argsz: 8 + bytes.length, size: bytes.length });
  expect((await client.call(wire.MIG_DATA_WRITE, Uint8Array.from([...head, ...bytes]))).errno).toBeUndefined();
}

/** Writes `count` pages of the disk, a value for each. */
async function write(client: VfioUserClient, driver: NvmeDriver, first: number, count: number): Promise<void> {
  for (let page = first; page < first + count; page++) {
    driver.ram.write(driver.dataAt(0), new Uint8Array(PAGE).fill(page + 1));
    await client.run(driver.move(WRITE, 1, 1, () => page));
  }
}

async function wrongPages(client: VfioUserClient, driver: NvmeDriver, count: number, depth: number): Promise<number[]> {
  const wrong: number[] = [];
  const look = (slot: number, i: number): void => {
    const bytes = new Uint8Array(PAGE);
    driver.ram.readInto(driver.dataAt(slot), bytes);
    if (!bytes.every((byte) => byte === ((i + 1) & 0xff))) wrong.push(i);
  };
  await client.run(driver.move(READ, count, depth, (i) => i, look));
  return wrong;
}

it.each(['polling', 'eventfd'] as const)(
  'a controller goes on at another host where it was stopped, with I/O through PRE_COPY, completions by %s',
  async (way) => {
    const [here, there] = [
      await Rig.start({ model: 'migratable-nvme' }),
      await Rig.start({ model: 'migratable-nvme' }),
    ];
    const source = await VfioUserClient.open(here.path);
    const driver = new NvmeDriver(way, MSI);
    await source.run(driver.start());
    await write(source, driver, 0, 40);

    const memory = [u64(IOVA), u64(BigInt(driver.ram.length))];
    const control = encode(wire.vfio_user_logging_control, { page_size: BigInt(PAGE), num_ranges: 1 });
    const range = Uint8Array.from([...control, ...memory[0]!, ...memory[1]!]);
    expect((await feature(source, SET | START, range)).errno).toBeUndefined();
    const image: number[] = [];
    expect(await moveTo(source, PRE_COPY)).toBeUndefined();
    for (let pass = 0; pass < 5; pass++) {
      image.push(...(await readData(source)));
      // Each pass leaves the rings elsewhere.
      expect(await wrongPages(source, driver, 13 + pass, 3)).toEqual([]);
    }
    expect(await moveTo(source, STOP_COPY)).toBeUndefined();
    for (let more = await readData(source); more.length > 0; more = await readData(source)) image.push(...more);
    // Pages of data and of completions were written to: they are dirty (I45).
    const asked = encode(wire.vfio_user_logging_report, {
      iova: IOVA,
      length: BigInt(driver.ram.length),
      page_size: BigInt(PAGE),
    });
    const report = (await feature(source, GET | REPORT, asked)).payload.subarray(8 + 24);
    const isDirty = (at: number): boolean => (report[at >> 15]! & (1 << ((at >> 12) & 7))) !== 0;
    expect([driver.dataAt(0), 3 * PAGE].map(isDirty)).toEqual([true, true]);
    expect(isDirty(2 * PAGE)).toBe(false);

    const target = await VfioUserClient.open(there.path);
    await target.run(driver.attach());
    expect(await moveTo(target, RESUMING)).toBeUndefined();
    await writeData(target, image);
    expect([await moveTo(target, STOPPED), await moveTo(target, RUNNING)]).toEqual([undefined, undefined]);
    source.close();
    expect(await here.quiet()).toEqual({});
    // Its disk is another one, which the driver fills; rings and phases go on where they were.
    await write(target, driver, 0, 100);
    for (const depth of [1, 32, 63]) expect(await wrongPages(target, driver, 100, depth)).toEqual([]);
    target.close();
    driver.free();
    expect(await there.quiet()).toEqual({});
    expect([await here.end(), await there.end()]).toEqual([[], []]);
  },
  120_000,
);

it('a stopped controller touches no memory, whatever doorbell is rung; back in RUNNING it works', async () => {
  const rig = await Rig.start({ model: 'migratable-nvme' });
  const client = await VfioUserClient.open(rig.path);
  const driver = new NvmeDriver();
  await client.run(driver.start());
  await write(client, driver, 0, 4);
  expect(await moveTo(client, STOPPED)).toBeUndefined();
  const before = new Uint8Array(driver.ram.length);
  driver.ram.readInto(0, before);
  // The tail of queue 1 as after four more commands, of which the rings hold old ones.
  await client.write(0, 0x1008, Uint8Array.of(8, 0, 0, 0));
  const after = new Uint8Array(driver.ram.length);
  driver.ram.readInto(0, after);
  expect(Buffer.compare(before, after)).toBe(0);
  expect(await moveTo(client, RUNNING)).toBeUndefined();
  expect(await wrongPages(client, driver, 4, 4)).toEqual([]);
  client.close();
  driver.free();
  expect(await rig.quiet()).toEqual({});
  expect(await rig.end()).toEqual([]);
});
