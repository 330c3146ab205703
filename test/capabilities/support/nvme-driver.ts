/**
 * The least of an NVMe driver, as a program in the lab has it: rings in its own memory, doorbells in the controller's BAR.
 *
 * Words: *ring* n has its commands at IOVA (2n+1) pages from the start of the driver's memory, its completions one page on.
 */
import type { Device, Program } from './passthrough.js';

export const PAGE = 4096;
const ENTRIES = 16;
const IOVA = 0x100000n;
const PAGES = 64;
/** The first page for data. */
const DATA = 16;

const REG = { cc: 0x14, csts: 0x1c, aqa: 0x24, asq: 0x28, acq: 0x30, doorbells: 0x1000 } as const;
const ENABLE = 1 | (6 << 16) | (4 << 20);

interface Ring {
  tail: number;
  head: number;
  phase: number;
}

interface Wanted {
  readonly opcode: number;
  readonly nsid?: number;
  readonly prp1?: bigint;
  readonly prp2?: bigint;
  readonly dwords?: readonly number[];
}

export class NvmeDriver {
  private readonly rings: Ring[] = [0, 1].map(() => ({ tail: 0, head: 0, phase: 1 }));
  private nextId = 1;

  private constructor(
    readonly program: Program,
    readonly device: Device,
    private readonly va: number,
  ) {}

  /** Maps memory, and starts the controller with an admin queue and one pair for reading and writing (vector 1). */
  static async start(program: Program, bdf: string): Promise<NvmeDriver> {
    const va = await program.mapped(IOVA, PAGES * PAGE);
    const driver = new NvmeDriver(program, await program.device(bdf), va);
    const { device } = driver;
    await device.write(REG.aqa, BigInt(((ENTRIES - 1) << 16) | (ENTRIES - 1)));
    await device.write(REG.asq, driver.page(1), 8);
    await device.write(REG.acq, driver.page(2), 8);
    await device.write(REG.cc, BigInt(ENABLE));
    const size = (ENTRIES - 1) << 16;
    await driver.run(0, { opcode: 5, prp1: driver.page(4), dwords: [size | 1, (1 << 16) | 3] });
    await driver.run(0, { opcode: 1, prp1: driver.page(3), dwords: [size | 1, (1 << 16) | 1] });
    return driver;
  }

  /** IOVA of a page of the driver's memory. */
  page(n: number): bigint {
    return IOVA + BigInt(n * PAGE);
  }

  status(): Promise<bigint> {
    return this.device.read(REG.csts);
  }

  /** Puts a command into the ring, tells of it, and takes its completion: the status, 0 for success. */
  async run(ring: 0 | 1, wanted: Wanted): Promise<number> {
    await this.put(ring, wanted);
    await this.device.write(REG.doorbells + 8 * ring, BigInt(this.rings[ring]!.tail));
    const status = await this.take(ring);
    if (status === undefined) throw new Error(`no completion in ring ${ring}`);
    return status;
  }

  private async put(ring: 0 | 1, { opcode, nsid = 1, prp1 = 0n, prp2 = 0n, dwords = [] }: Wanted): Promise<void> {
    const at = this.rings[ring]!;
    const bytes = new DataView(new ArrayBuffer(64));
    bytes.setUint8(0, opcode);
    bytes.setUint16(2, this.nextId++, true);
    bytes.setUint32(4, nsid, true);
    bytes.setBigUint64(24, prp1, true);
    bytes.setBigUint64(32, prp2, true);
    dwords.forEach((value, i) => bytes.setUint32(40 + 4 * i, value, true));
    await this.poke((2 * ring + 1) * PAGE + at.tail * 64, new Uint8Array(bytes.buffer));
    at.tail = (at.tail + 1) % ENTRIES;
  }

  /** The status of the next completion; undefined: there is none yet. */
  async take(ring: 0 | 1): Promise<number | undefined> {
    const at = this.rings[ring]!;
    const bytes = await this.peek((2 * ring + 2) * PAGE + at.head * 16, 16);
    const word = bytes.readUInt16LE(14);
    if ((word & 1) !== at.phase) return undefined;
    at.head = (at.head + 1) % ENTRIES;
    if (at.head === 0) at.phase ^= 1;
    await this.device.write(REG.doorbells + 8 * ring + 4, BigInt(at.head));
    return word >>> 1;
  }

  /** Blocks of 512 bytes from `first` on: as many as the data, a page at most. */
  async write(first: number, data: Uint8Array): Promise<number> {
    await this.poke(DATA * PAGE, data);
    return this.run(1, { opcode: 1, prp1: this.page(DATA), dwords: [first, 0, data.length / 512 - 1] });
  }

  async read(first: number, length: number): Promise<Buffer> {
    await this.poke(DATA * PAGE, new Uint8Array(length));
    const status = await this.run(1, { opcode: 2, prp1: this.page(DATA), dwords: [first, 0, length / 512 - 1] });
    if (status !== 0) throw new Error(`read: status 0x${status.toString(16)}`);
    return this.peek(DATA * PAGE, length);
  }

  poke(offset: number, data: Uint8Array): Promise<void> {
    return this.program.must(this.program.process.write(this.va + offset, data));
  }

  async peek(offset: number, length: number): Promise<Buffer> {
    return Buffer.from(await this.program.must(this.program.process.read(this.va + offset, length)));
  }
}
