/** One command as it lies in a submission queue: 64 bytes (section 4.2). */
export class Command {
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get opcode(): number {
    return this.view.getUint8(0);
  }

  /** Bits 7:6 of the second byte: 0 says that the data pointer is PRPs, the only kind served. */
  get usesPrps(): boolean {
    return this.view.getUint8(1) >>> 6 === 0;
  }

  get id(): number {
    return this.view.getUint16(2, true);
  }

  get namespace(): number {
    return this.view.getUint32(4, true);
  }

  get prp1(): bigint {
    return this.view.getBigUint64(24, true);
  }

  get prp2(): bigint {
    return this.view.getBigUint64(32, true);
  }

  /** Command dword 10 to 15. */
  dword(n: number): number {
    return this.view.getUint32(4 * n, true);
  }
}

/** What a command came to; `result`: dword 0 of the completion. `held`: it is not completed now. */
export interface Outcome {
  readonly status: number;
  readonly result?: number;
  readonly held?: boolean;
}
