/**
 * Data structures that tell what the controller and its namespace are (section 5.15), and the log pages (section 5.14).
 */
import { BLOCK_SHIFT, BLOCKS } from './media.js';
import { MDTS, VERSION } from './registers.js';
import type { Role } from './role.js';

const PAGE = 4096;
export const NAMESPACE = 1;
/** Outstanding asynchronous event requests, and commands to abort at once. */
export const ASYNC_EVENTS = 4;
const ABORTS = 4;

const VENDOR = 0x1b36;
const SUBSYSTEM_VENDOR = 0x1af4;
const NQN = 'nqn.2026-11.org.vfiolab:nvme:0';
/** EUI-64 of a controller's namespace: a locally administered one, without its last but one byte. */
const eui64 = ({ id }: Role): number[] => [0x02, 0x76, 0x66, 0x69, 0x6f, 0x00, id, 0x01];
/** Power state 0 with 1 W. */
const MAX_POWER = 100;
const WRITE_ZEROES_AND_DEALLOCATE = 0x0c;
const VIRTUALIZATION_MANAGEMENT = 0x80;

export class Block {
  readonly bytes = new Uint8Array(PAGE);
  private readonly view = new DataView(this.bytes.buffer);

  u8(at: number, value: number): this {
    this.view.setUint8(at, value);
    return this;
  }
  u16(at: number, value: number): this {
    this.view.setUint16(at, value, true);
    return this;
  }
  u32(at: number, value: number): this {
    this.view.setUint32(at, value, true);
    return this;
  }
  u64(at: number, value: number): this {
    this.view.setBigUint64(at, BigInt(value), true);
    return this;
  }
  /** ASCII, padded with spaces to `length`, or ended by a NUL when that is 0. */
  text(at: number, text: string, length: number): this {
    this.bytes.set(new TextEncoder().encode(text.padEnd(length)), at);
    return this;
  }
}

/** CNS 1. `manages`: it is a primary controller. */
export const identifyController = ({ id, sharing }: Role, manages: boolean): Uint8Array =>
  new Block()
    .u16(0, VENDOR)
    .u16(2, SUBSYSTEM_VENDOR)
    .text(4, 'vfiolab-0', 20)
    .text(24, 'vfiolab NVMe controller', 40)
    .text(64, '1.0', 8)
    .u8(76, sharing)
    .u8(77, MDTS)
    .u16(78, id)
    .u32(80, VERSION)
    .u8(111, 1)
    .u16(256, manages ? VIRTUALIZATION_MANAGEMENT : 0)
    .u8(258, ABORTS - 1)
    .u8(259, ASYNC_EVENTS - 1)
    .u8(260, 0x03)
    .u16(266, 343)
    .u16(268, 353)
    .u8(512, 0x66)
    .u8(513, 0x44)
    .u32(516, NAMESPACE)
    .u16(520, WRITE_ZEROES_AND_DEALLOCATE)
    .text(768, NQN, 0)
    .u16(2048, MAX_POWER).bytes;

/** CNS 0: size, capacity and use in blocks, one format of blocks of 512 bytes. */
export const identifyNamespace = (used: number): Uint8Array =>
  new Block()
    .u64(0, BLOCKS)
    .u64(8, BLOCKS)
    .u64(16, used)
    .u8(24, 0x01)
    .u32(128, BLOCK_SHIFT << 16).bytes;

/** CNS 2: the namespaces whose number is higher than `after`. */
export const activeNamespaces = (after: number): Uint8Array =>
  (after < NAMESPACE ? new Block().u32(0, NAMESPACE) : new Block()).bytes;

/** CNS 3: what names the namespace in the world. */
export function namespaceDescriptors(role: Role): Uint8Array {
  const { bytes } = new Block();
  const name = eui64(role);
  bytes.set([1, name.length, 0, 0, ...name]);
  return bytes;
}

/** A controller that never failed, at 20 degrees Celsius (293 K). */
function health(): Uint8Array {
  const { bytes } = new Block().u16(1, 293).u8(3, 100).u8(4, 10);
  return bytes.subarray(0, 512);
}

function firmware(): Uint8Array {
  return new Block().u8(0, 1).text(8, '1.0', 8).bytes.subarray(0, 512);
}

/** Bytes of a log page; undefined: there is none of that number. */
export function logPage(id: number): Uint8Array | undefined {
  if (id === 1) return new Uint8Array(64);
  if (id === 2) return health();
  return id === 3 ? firmware() : undefined;
}

/** What the driver is granted of what it asked for: both counts from 0, and without the admin queue. */
export function grantedQueues(asked: number, { queues }: Role): number {
  const grant = (wanted: number): number => Math.min(wanted, queues - 2);
  return grant(asked & 0xffff) | (grant(asked >>> 16) << 16);
}
