/**
 * One serial port of a card: a 16550 whose transmitter is looped back to its receiver. [samples/vfio-mdev/mtty.c]
 *
 * Words: the *state* is the port's 36 bytes as a migration's data carry them: 8 registers, a FIFO of 16 bytes with head, tail and
 * count, DLAB, overrun, divisor, FIFO control, FIFO size, trigger level.
 * Rule: a full FIFO looks empty to its reader, as head and tail meet: the kernel has it so. Whatever state was loaded, nothing
 * outside of it is touched.
 */
import { read16 } from '../little-endian.js';

export const PORT_BYTES = 36;
/** Registers, of which some are another one when written, or with DLAB set. */
const [DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
/** Places in the state. */
const FIFO = 8;
const HEAD = 24;
const TAIL = 25;
const COUNT = 26;
const DLAB = 27;
const OVERRUN = 28;
const DIVISOR = 30;
const FCR = 32;
const FIFO_SIZE = 33;
const TRIGGER = 34;

const FIFO_BYTES = 16;
const IER_DATA = 1;
const IER_EMPTY = 2;
const IER_LINE = 4;
const IER_MODEM = 8;
const IIR_NONE = 1;
const IIR_EMPTY = 2;
const IIR_DATA = 4;
const IIR_LINE = 6;
const IIR_16550 = 0xc0;
const FCR_ENABLE = 1;
const FCR_CLEAR = 6;
const LCR_DLAB = 0x80;
const MCR_LINES = 3;
const MCR_OUT2 = 8;
const MCR_AUTOFLOW = 0x20;
const LSR_DATA = 1;
const LSR_OVERRUN = 2;
const LSR_EMPTY = 0x60;
const MSR_FIXED = 0xa2;
const MSR_CLEAR_TO_SEND = 0x11;

export class SerialPort {
  readonly state = new Uint8Array(PORT_BYTES);

  constructor() {
    this.state[FIFO_SIZE] = FIFO_BYTES;
  }

  load(state: Uint8Array): void {
    this.state.set(state);
  }

  private get empty(): boolean {
    return this.state[HEAD] === this.state[TAIL];
  }

  private get hasRoom(): boolean {
    return this.state[COUNT]! < this.state[FIFO_SIZE]!;
  }

  private enabled(interrupt: number): boolean {
    return (this.state[IER]! & interrupt) !== 0;
  }

  /** Answers the register, and how often the interrupt fires. */
  read(register: number): { value: number; fires: number } {
    if (register === DATA && this.state[DLAB] === 0) return this.receive();
    return { value: this.peek(register), fires: 0 };
  }

  private receive(): { value: number; fires: number } {
    const { state } = this;
    let value = 0;
    if (!this.empty) {
      value = state[FIFO + (state[TAIL]! % FIFO_BYTES)]!;
      state[COUNT] = state[COUNT]! - 1;
      state[TAIL] = (state[TAIL]! + 1) % FIFO_BYTES;
    }
    return { value, fires: this.empty && this.enabled(IER_EMPTY) ? 1 : 0 };
  }

  private peek(register: number): number {
    const { state } = this;
    switch (register) {
      case DATA:
        return state[DIVISOR]!;
      case IER:
        return state[DLAB] ? state[DIVISOR + 1]! : state[IER]! & 0xf;
      case IIR_FCR:
        return this.pending();
      case LCR:
      case MCR:
      case SCR:
        return state[register]!;
      case LSR:
        return (this.empty ? LSR_EMPTY : LSR_DATA) | (state[OVERRUN] ? LSR_OVERRUN : 0);
      case MSR:
        return MSR_FIXED | (state[MCR]! & MCR_AUTOFLOW && !this.hasRoom ? 0 : MSR_CLEAR_TO_SEND);
      default:
        return 0;
    }
  }

  /** A change of the modem's lines is a cause without a bit. */
  private pending(): number {
    const { state } = this;
    const line = this.enabled(IER_LINE) && state[OVERRUN] ? IIR_LINE : 0;
    const data = this.enabled(IER_DATA) && state[COUNT]! >= state[TRIGGER]! ? IIR_DATA : 0;
    const empty = this.enabled(IER_EMPTY) && this.empty ? IIR_EMPTY : 0;
    return IIR_16550 | (line | data | empty || IIR_NONE);
  }

  /** Answers how often the interrupt fires. */
  write(register: number, value: number): number {
    const { state } = this;
    switch (register) {
      case DATA:
        return this.transmit(value);
      case IER:
        if (state[DLAB]) state[DIVISOR + 1]! |= value;
        else state[IER] = value;
        return !state[DLAB] && value & IER_EMPTY && this.empty ? 1 : 0;
      case IIR_FCR:
        this.controlFifo(value);
        return 0;
      case LCR:
        state[DLAB] = value & LCR_DLAB ? 1 : 0;
        if (value & LCR_DLAB) state.fill(0, DIVISOR, DIVISOR + 2);
        state[LCR] = value;
        return 0;
      case MCR:
        state[MCR] = value;
        if (!this.enabled(IER_MODEM)) return 0;
        return (value & MCR_OUT2 ? 1 : 0) + (value & MCR_LINES ? 1 : 0);
      case SCR:
        state[SCR] = value;
        return 0;
      default:
        return 0;
    }
  }

  private transmit(value: number): number {
    const { state } = this;
    if (state[DLAB]) {
      state[DIVISOR]! |= value;
      return 0;
    }
    if (!this.hasRoom) {
      state[OVERRUN] = 1;
      return this.enabled(IER_LINE) ? 1 : 0;
    }
    state[FIFO + (state[HEAD]! % FIFO_BYTES)] = value;
    state[COUNT] = state[COUNT]! + 1;
    state[HEAD] = (state[HEAD]! + 1) % FIFO_BYTES;
    state[OVERRUN] = 0;
    return this.enabled(IER_DATA) && state[COUNT] === state[TRIGGER] ? 1 : 0;
  }

  /** Whatever trigger level is asked for, it is 1. */
  private controlFifo(value: number): void {
    const { state } = this;
    state[FCR] = value;
    if (value & FCR_CLEAR) state.fill(0, HEAD, COUNT + 1);
    state[TRIGGER] = 1;
    state[FIFO_SIZE] = value & FCR_ENABLE ? FIFO_BYTES : 1;
  }

  describe(): string {
    return `divisor ${read16(this.state, DIVISOR)}, ${this.state[COUNT]} bytes wait${this.state[OVERRUN] ? ', overrun' : ''}`;
  }
}
