/** Memory cards for programs: their registers, as libs/vfio/src/mdma/memory-card.ts has them. */
import { type Errno, errnoName } from '@vfiolab/uapi';
import type { VfioProgram } from './container-lab.js';

export const MEMORY_CARD = 'mtty-memory';
const [IOVA, COUNT, PROT, COMMAND, RESULT] = [0, 8, 16, 24, 32];
const REGISTERS = { pinned: 40, vm: 48, unmaps: 56 } as const;
const [PIN, UNPIN, TO_BUFFER, FROM_BUFFER] = [1, 2, 3, 4];
const BUFFER = 0x1000;

export class MemoryCardOf {
  constructor(
    readonly p: VfioProgram,
    readonly fd: number,
  ) {}

  private async set(register: number, value: bigint | number): Promise<void> {
    const bytes = new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
    await this.p.must(this.p.process.pwrite(this.fd, register, bytes));
  }

  private async get(register: number): Promise<bigint> {
    const bytes = await this.p.must(this.p.process.pread(this.fd, register, 8));
    return new BigInt64Array(bytes.slice().buffer)[0]!;
  }

  async tell(name: keyof typeof REGISTERS): Promise<number> {
    return Number(await this.get(REGISTERS[name]));
  }

  /** The number that a command answered, or its errno. */
  private async command(command: number, iova: bigint, count: number): Promise<number | Errno> {
    await this.set(IOVA, iova);
    await this.set(COUNT, count);
    await this.set(COMMAND, command);
    const result = Number(await this.get(RESULT));
    return result < 0 ? errnoName(-result)! : result;
  }

  async pin(iova: bigint, pages: number, prot = 3): Promise<number | Errno> {
    await this.set(PROT, prot);
    return this.command(PIN, iova, pages);
  }

  unpin(iova: bigint, pages: number): Promise<number | Errno> {
    return this.command(UNPIN, iova, pages);
  }

  /** Bytes behind an IOVA, or the errno. */
  async read(iova: bigint, length: number): Promise<number[] | Errno> {
    const done = await this.command(TO_BUFFER, iova, length);
    if (typeof done !== 'number') return done;
    return [...(await this.p.must(this.p.process.pread(this.fd, BUFFER, length)))];
  }

  async write(iova: bigint, ...bytes: number[]): Promise<number | Errno> {
    await this.p.must(this.p.process.pwrite(this.fd, BUFFER, Uint8Array.from(bytes)));
    return this.command(FROM_BUFFER, iova, bytes.length);
  }

  /** A command that there is not. */
  other(command: number): Promise<number | Errno> {
    return this.command(command, 0n, 1);
  }
}
