import { ByteReader, ByteWriter } from '@vfiolab/core';
import { ASQ, ACQ, DATA, IO_ENTRIES, LIST, MEMORY, NvmeRig, PAGE, SQ, type Wanted } from '../testing/nvme-rig.js';
import { BLOCKS } from './media.js';
import { Nvme } from './nvme.js';
import * as reg from './registers.js';
import * as status from './status.js';

const WRITE = 1;
const READ = 2;
/** Dwords 10 to 12 of a read or write. */
const blocks = (first: number, count: number): number[] => [first, 0, count - 1];

describe('starting', () => {
  it('a controller is ready when it is enabled, and off when it is disabled', () => {
    const driver = new NvmeRig();
    expect(driver.nvme.read(reg.CSTS, 4)).toBe(0n);
    driver.enable();
    driver.poke(reg.CC, 0);
    expect(driver.nvme.read(reg.CSTS, 4)).toBe(0n);
  });

  it.each([
    ['the admin queue does not begin at a page', (d: NvmeRig) => d.poke(reg.CC, 1 | (1 << 7))],
    ['pages of host memory that are too large', (d: NvmeRig) => d.poke(reg.CC, 1 | (5 << 7))],
    ['an admin queue of one entry', (d: NvmeRig) => (d.poke(reg.AQA, 0), d.poke(reg.CC, 1))],
  ])('%s: fatal', (_why, start) => {
    const driver = new NvmeRig();
    driver.poke(reg.AQA, 0x00070007);
    driver.poke(reg.ASQ, ASQ, 8);
    driver.poke(reg.ACQ, ACQ, 8);
    start(driver);
    expect(driver.nvme.read(reg.CSTS, 4)).toBe(BigInt(reg.CSTS_FATAL));
    driver.poke(reg.CC, 0);
    expect(driver.nvme.read(reg.CSTS, 4)).toBe(0n);
  });

  it('registers are read whole, in halves and in bytes', () => {
    const { nvme } = new NvmeRig();
    expect(nvme.read(reg.CAP, 8)).toBe(reg.CAPABILITIES);
    expect(nvme.read(reg.CAP + 4, 4)).toBe(reg.CAPABILITIES >> 32n);
    expect(nvme.read(reg.VS + 1, 1)).toBe(4n);
  });

  it('a shutdown is over at once', () => {
    const driver = new NvmeRig();
    driver.enable();
    driver.poke(reg.CC, reg.CC_ENABLE | (6 << 16) | (4 << 20) | (1 << 14));
    expect(driver.nvme.read(reg.CSTS, 4)).toBe(BigInt(reg.CSTS_READY | reg.CSTS_SHUT_DOWN));
  });
});

describe('admin commands', () => {
  const size = (IO_ENTRIES - 1) << 16;
  it.each<[string, Wanted, number]>([
    ['an unknown opcode', { opcode: 0x7f }, status.INVALID_OPCODE],
    ['a completion queue 0', { opcode: 5, dwords: [size, 3] }, status.QUEUE_ID_INVALID],
    ['a completion queue that exists', { opcode: 5, dwords: [size | 1, 3] }, status.QUEUE_ID_INVALID],
    ['one behind the last', { opcode: 5, dwords: [size | reg.QUEUES, 3] }, status.QUEUE_ID_INVALID],
    ['a queue of one entry', { opcode: 5, dwords: [2, 3] }, status.QUEUE_SIZE_INVALID],
    ['a queue that is too long', { opcode: 5, dwords: [(reg.MAX_ENTRIES << 16) | 2, 3] }, status.QUEUE_SIZE_INVALID],
    ['a queue in pieces', { opcode: 5, dwords: [size | 2, 2] }, status.INVALID_FIELD],
    ['a queue inside of a page', { opcode: 5, prp1: DATA + 64, dwords: [size | 2, 3] }, status.PRP_OFFSET_INVALID],
    ['a vector that no function has', { opcode: 5, dwords: [size | 2, (2048 << 16) | 3] }, status.INVALID_VECTOR],
    ['completions in no queue', { opcode: 1, dwords: [size | 2, (9 << 16) | 1] }, status.COMPLETION_QUEUE_INVALID],
    ['completions in the admin queue', { opcode: 1, dwords: [size | 2, 1] }, status.COMPLETION_QUEUE_INVALID],
    ['a submission queue that exists', { opcode: 1, dwords: [size | 1, (1 << 16) | 1] }, status.QUEUE_ID_INVALID],
    ['deleting no queue', { opcode: 0, dwords: [7] }, status.QUEUE_ID_INVALID],
    ['deleting the admin queue', { opcode: 0, dwords: [0] }, status.QUEUE_ID_INVALID],
    ['deleting completions in use', { opcode: 4, dwords: [1] }, status.INVALID_QUEUE_DELETION],
    ['a namespace that is not there', { opcode: 6, nsid: 2 }, status.INVALID_NAMESPACE],
    ['a kind of data that is not there', { opcode: 6, dwords: [0x1c] }, status.INVALID_FIELD],
    ['a log page that is not there', { opcode: 2, dwords: [(15 << 16) | 0x0d] }, status.INVALID_LOG_PAGE],
    ['a feature that is not there', { opcode: 0x0a, dwords: [0x10] }, status.INVALID_FIELD],
    ['a feature to keep for ever', { opcode: 9, dwords: [0x80000005] }, status.FEATURE_NOT_SAVEABLE],
    ['queues counted when there are some', { opcode: 9, dwords: [7, 0] }, status.COMMAND_SEQUENCE_ERROR],
    ['data that go nowhere', { opcode: 6, prp1: MEMORY, dwords: [1] }, status.DATA_TRANSFER_ERROR],
  ])('%s is refused', (_what, wanted, code) => {
    const driver = new NvmeRig().ready();
    const before = [driver.nvme.describe(), driver.nvme.check()];
    expect(driver.admin(wanted)).toBe(code);
    expect([driver.nvme.describe(), driver.nvme.check()]).toEqual(before);
  });

  it('identify tells of the controller, its namespace, and the name of that', () => {
    const driver = new NvmeRig().ready();
    expect(driver.admin({ opcode: 6, nsid: 0, dwords: [1] })).toBe(0);
    expect(driver.bytes(DATA + 24, 23).toString()).toBe('vfiolab NVMe controller');
    expect(driver.view.getUint32(DATA + 516, true)).toBe(1);
    expect(driver.admin({ opcode: 6, dwords: [0] })).toBe(0);
    expect(driver.view.getBigUint64(DATA, true)).toBe(BigInt(BLOCKS));
    expect(driver.bytes(DATA + 128, 4)).toEqual(Buffer.from([0, 0, 9, 0]));
    expect(driver.admin({ opcode: 6, nsid: 0, dwords: [2] })).toBe(0);
    expect(driver.view.getUint32(DATA, true)).toBe(1);
    expect(driver.admin({ opcode: 6, dwords: [3] })).toBe(0);
    expect(driver.bytes(DATA, 2)).toEqual(Buffer.from([1, 8]));
  });

  it('a driver gets as many queues as there are, and its features back', () => {
    const driver = new NvmeRig();
    driver.enable();
    expect(driver.run(0, { opcode: 9, dwords: [7, (99 << 16) | 3] }).result).toBe(((reg.IO_QUEUES - 1) << 16) | 3);
    expect(driver.admin({ opcode: 9, dwords: [0x0b, 0x1ff] })).toBe(0);
    expect(driver.run(0, { opcode: 0x0a, dwords: [0x0b] }).result).toBe(0x1ff);
  });

  it('event requests are held, four of them, and told of a wrong doorbell', () => {
    const driver = new NvmeRig().ready();
    const ids = [0, 1, 2, 3].map(() => driver.put(0, { opcode: 0x0c }));
    driver.ring(0);
    expect(driver.take(0)).toBeUndefined();
    expect(driver.admin({ opcode: 0x0c })).toBe(status.ASYNC_EVENT_LIMIT);
    driver.poke(reg.DOORBELLS + 8, IO_ENTRIES);
    expect(driver.take(0)).toMatchObject({ id: ids[0], status: 0, result: 0x100 });
  });
});

describe('reading and writing', () => {
  it.each([
    ['one block', 512, DATA, 0],
    ['one page', PAGE, DATA, 0],
    ['two pages', 2 * PAGE, DATA, DATA + 5 * PAGE],
    ['two blocks over the end of a page', 1024, DATA + PAGE - 512, DATA + 5 * PAGE],
  ])('%s: what was written is read', (_what, length, prp1, prp2) => {
    const driver = new NvmeRig().ready();
    const first = Math.min(length, PAGE - (prp1 % PAGE));
    const sent = [driver.fill(prp1, first, 1), driver.fill(prp2, length - first, 2)];
    expect(driver.io({ opcode: WRITE, prp1, prp2, dwords: blocks(40, length / 512) })).toBe(0);
    driver.bus.memory.fill(0, DATA, DATA + 8 * PAGE);
    expect(driver.io({ opcode: READ, prp1, prp2, dwords: blocks(40, length / 512) })).toBe(0);
    expect([driver.bytes(prp1, first), driver.bytes(prp2, length - first)]).toEqual(sent);
  });

  it('the longest transfer, by a list whose first page is full', () => {
    const driver = new NvmeRig().ready();
    const pages = reg.MAX_TRANSFER / PAGE;
    // The list begins 8 entries before the end of its page: 7 pages, and where the list goes on.
    const start = LIST + PAGE - 64;
    const order = Array.from({ length: pages - 1 }, (_, i) => DATA + (1 + ((i * 11) % (pages - 1))) * PAGE);
    order.slice(0, 7).forEach((at, i) => driver.view.setBigUint64(start + 8 * i, BigInt(at), true));
    driver.view.setBigUint64(start + 56, BigInt(LIST + PAGE), true);
    order.slice(7).forEach((at, i) => driver.view.setBigUint64(LIST + PAGE + 8 * i, BigInt(at), true));
    const sent = driver.fill(DATA, reg.MAX_TRANSFER, 3);
    const wanted = { prp1: DATA, prp2: start, dwords: blocks(0, reg.MAX_TRANSFER / 512) };
    expect(driver.io({ opcode: WRITE, ...wanted })).toBe(0);
    driver.bus.memory.fill(0, DATA, DATA + reg.MAX_TRANSFER);
    expect(driver.io({ opcode: READ, ...wanted })).toBe(0);
    expect(driver.bytes(DATA, reg.MAX_TRANSFER).equals(sent)).toBe(true);
    // Block 8 is the page that the list names first.
    driver.bus.memory.fill(0, DATA, DATA + PAGE);
    expect(driver.io({ opcode: READ, dwords: blocks(8, 8) })).toBe(0);
    expect(driver.bytes(DATA, PAGE)).toEqual(sent.subarray(order[0]! - DATA, order[0]! - DATA + PAGE));
  });

  it.each<[string, Wanted, number]>([
    ['one block behind the end', { opcode: READ, dwords: blocks(BLOCKS, 1) }, status.LBA_OUT_OF_RANGE],
    ['a block far behind', { opcode: WRITE, dwords: [0, 1, 0] }, status.LBA_OUT_OF_RANGE],
    ['more than a command may move', { opcode: READ, dwords: blocks(0, 257) }, status.INVALID_FIELD],
    ['scatter-gather lists', { opcode: READ, flags: 0x40, dwords: blocks(0, 1) }, status.INVALID_FIELD],
    ['another namespace', { opcode: READ, nsid: 2, dwords: blocks(0, 1) }, status.INVALID_NAMESPACE],
    ['an unknown opcode', { opcode: 0x55 }, status.INVALID_OPCODE],
    ['a second page from its middle on', { opcode: READ, prp2: 8, dwords: blocks(0, 16) }, status.PRP_OFFSET_INVALID],
    ['a list at no entry', { opcode: READ, prp2: LIST + 4, dwords: blocks(0, 32) }, status.PRP_OFFSET_INVALID],
    ['a list that is not there', { opcode: READ, prp2: MEMORY, dwords: blocks(0, 32) }, status.DATA_TRANSFER_ERROR],
    ['data that are not there', { opcode: WRITE, prp1: MEMORY, dwords: blocks(0, 1) }, status.DATA_TRANSFER_ERROR],
  ])('%s: refused, and nothing is stored', (_what, wanted, code) => {
    const driver = new NvmeRig().ready();
    expect(driver.io(wanted)).toBe(code);
    expect(driver.nvme.media.used).toBe(0);
  });

  it('blocks read zero when nothing was written, after zeroes were, and when they were given back', () => {
    const driver = new NvmeRig().ready();
    const zero = Buffer.alloc(PAGE);
    const read = (): Buffer => {
      driver.fill(DATA, PAGE, 9);
      expect(driver.io({ opcode: READ, dwords: blocks(0, 8) })).toBe(0);
      return driver.bytes(DATA, PAGE);
    };
    const write = (): void => {
      driver.fill(DATA, PAGE, 4);
      expect(driver.io({ opcode: WRITE, dwords: blocks(0, 8) })).toBe(0);
    };
    expect(read()).toEqual(zero);
    write();
    expect(driver.io({ opcode: 8, dwords: blocks(0, 8) })).toBe(0);
    expect(read()).toEqual(zero);
    write();
    driver.view.setUint32(DATA + 4, 7, true);
    driver.view.setBigUint64(DATA + 8, 1n, true);
    expect(driver.io({ opcode: 9, dwords: [0, 4] })).toBe(0);
    const left = read();
    expect(left.subarray(512)).toEqual(zero.subarray(512));
    expect(left.subarray(0, 512).equals(zero.subarray(0, 512))).toBe(false);
    expect(driver.io({ opcode: 0, nsid: 0xffffffff })).toBe(0);
  });
});

describe('queues', () => {
  it('commands of one doorbell are read at once, and told with one interrupt of their vector', () => {
    const driver = new NvmeRig().ready();
    driver.bus.raised.length = 0;
    const before = driver.bus.requests;
    const ids = [1, 2, 3].map((first) => driver.put(1, { opcode: READ, dwords: blocks(first, 1) }));
    driver.ring(1);
    expect(driver.bus.raised).toEqual([3]);
    expect(driver.bus.requests - before).toBe(1 + 3 + 1);
    expect(ids.map(() => driver.take(1)!.id)).toEqual(ids);
  });

  it('submission queues that share a completion queue share its room', () => {
    const driver = new NvmeRig().ready();
    const other = 100 * PAGE;
    expect(driver.admin({ opcode: 1, prp1: other, dwords: [((IO_ENTRIES - 1) << 16) | 2, (1 << 16) | 1] })).toBe(0);
    for (let i = 0; i < 12; i++) {
      driver.put(1, { opcode: READ, dwords: blocks(i, 1) });
      driver.bus.memory.copyWithin(other + i * 64, SQ + i * 64, SQ + (i + 1) * 64);
    }
    // The second doorbell is rung while commands of the first queue are being fetched.
    const ring = (id: number): Generator<unknown, void, unknown> => driver.nvme.write(reg.DOORBELLS + 8 * id, 4, 12n);
    const { bus } = driver;
    const read = bus.dmaRead.bind(bus);
    bus.dmaRead = function* (...args) {
      yield { kind: 'time' };
      return yield* read(...args);
    };
    const [first, second] = [ring(1), ring(2)];
    expect([first.next().done, second.next().done]).toEqual([false, false]);
    expect([first.next().done, second.next().done]).toEqual([true, true]);
    let told = 0;
    while (driver.take(1)) told++;
    expect(told).toBe(IO_ENTRIES - 1);
    bus.dmaRead = read;
    driver.acknowledge(1);
    while (driver.take(1)) told++;
    expect(told).toBe(24);
  });

  it('the rings go round, and no completion is lost where there is no room', () => {
    const driver = new NvmeRig().ready();
    for (let round = 0; round < 5; round++) {
      const ids = Array.from({ length: IO_ENTRIES - 1 }, () => driver.put(1, { opcode: READ, dwords: blocks(0, 1) }));
      driver.ring(1);
      expect(ids.map(() => driver.take(1)?.id)).toEqual(ids);
      // Not acknowledged: the ring of completions is full, so the next command waits.
      const late = driver.put(1, { opcode: READ, dwords: blocks(0, 1) });
      driver.ring(1);
      expect(driver.take(1)).toBeUndefined();
      driver.acknowledge(1);
      expect(driver.take(1)?.id).toBe(late);
      driver.acknowledge(1);
    }
  });

  it('the pin is let go when all completions have been taken, and not before', () => {
    const driver = new NvmeRig().ready();
    driver.put(1, { opcode: READ, dwords: blocks(0, 1) });
    driver.put(1, { opcode: READ, dwords: blocks(0, 1) });
    driver.ring(1);
    const lowered = driver.bus.lowered;
    driver.take(1);
    driver.acknowledge(1);
    expect(driver.bus.lowered).toBe(lowered);
    driver.take(1);
    driver.acknowledge(1);
    expect(driver.bus.lowered).toBe(lowered + 1);
  });

  it('a masked vector is not raised', () => {
    const driver = new NvmeRig().ready();
    driver.poke(reg.INTMS, 1 << 3);
    driver.bus.raised.length = 0;
    expect(driver.io({ opcode: READ, dwords: blocks(0, 1) })).toBe(0);
    expect(driver.bus.raised).toEqual([]);
    driver.poke(reg.INTMC, 1 << 3);
    expect(driver.io({ opcode: READ, dwords: blocks(0, 1) })).toBe(0);
    expect(driver.bus.raised).toEqual([3]);
  });

  it('a ring that cannot be reached is fatal until the controller is reset', () => {
    const driver = new NvmeRig().ready();
    const size = (IO_ENTRIES - 1) << 16;
    expect(driver.admin({ opcode: 5, prp1: MEMORY, dwords: [size | 2, 1] })).toBe(0);
    expect(driver.admin({ opcode: 1, prp1: MEMORY, dwords: [size | 2, (2 << 16) | 1] })).toBe(0);
    driver.poke(reg.DOORBELLS + 16, 1);
    expect(driver.nvme.read(reg.CSTS, 4)).toBe(BigInt(reg.CSTS_READY | reg.CSTS_FATAL));
    driver.put(0, { opcode: 6, dwords: [1] });
    driver.ring(0);
    expect(driver.take(0)).toBeUndefined();
    driver.nvme.reset();
    expect(driver.nvme.read(reg.CSTS, 4)).toBe(0n);
  });
});

describe('state', () => {
  it('is the same after it was stored and read back: registers, queues, media', () => {
    const driver = new NvmeRig().ready();
    driver.fill(DATA, PAGE, 6);
    expect(driver.io({ opcode: WRITE, dwords: blocks(80, 8) })).toBe(0);
    driver.put(0, { opcode: 0x0c });
    driver.ring(0);
    const w = new ByteWriter(64);
    driver.nvme.encode(w);
    const bytes = w.take();
    const again = new Nvme(driver.bus);
    const r = new ByteReader(bytes);
    again.decode(r);
    r.done();
    const second = new ByteWriter(64);
    again.encode(second);
    expect(Buffer.from(second.take())).toEqual(Buffer.from(bytes));
    driver.nvme = again;
    const sent = driver.fill(DATA, PAGE, 6);
    driver.bus.memory.fill(0, DATA, DATA + PAGE);
    expect(driver.io({ opcode: READ, dwords: blocks(80, 8) })).toBe(0);
    expect(driver.bytes(DATA, PAGE)).toEqual(sent);
  });

  it('a reset keeps what is stored', () => {
    const driver = new NvmeRig().ready();
    expect(driver.io({ opcode: WRITE, dwords: blocks(0, 8) })).toBe(0);
    driver.nvme.reset();
    expect(driver.nvme.media.used).toBe(1);
    expect(driver.nvme.check()).toEqual([]);
  });
});
