/**
 * Arguments of ioctls that are nearly right: that is how deep they get.
 *
 * Words: a *lure* is a value that means something to a field of that name: an id that exists, an IOVA that is mapped, a size
 * that is one too small.
 * Rule: any bytes at all may come out; most of the time only one or two fields are off.
 */
import type { Segment } from '@vfiolab/core';
import { type AnyStruct, type IoctlDef, iommuTestArms, type KernelProfile, writeFields } from '@vfiolab/uapi';
import type { Chance } from './chance.js';
import { APERTURE, MEMORY } from './world.js';

/** Where the struct and the buffer lie: behind every address that a process can map. */
export const STRUCT_AT = 2 ** 47;
export const BUFFER_AT = STRUCT_AT + 0x1000_0000;
const BUFFER = 256;
/** The numbers under which the caller has /dev/iommu and a file in memory open. */
export const IOMMUFD_FD = 3;
export const MEMFD_FD = 40;
const U64_MAX = (1n << 64n) - 1n;
const PAGE = 4096n;

/** Those of the self-test more often than what nobody has. */
const TYPES = [0, 1, 2, 0xdead, 0xdead, 0xdeadbeef, 0xdeadbeef, 0xdeadbeef, 0xdadbeef, 0xbeefbeef, 0xbeefbeef];
const LENGTHS = [0n, 1n, 4n, 8n, 12n, 24n, 2048n, PAGE, 2n * PAGE, 4n * PAGE, 8n * PAGE, 16n * PAGE];
const EXTREMES = [
  0n,
  1n,
  PAGE - 1n,
  1n << 31n,
  1n << 32n,
  1n << 47n,
  (1n << 63n) - 1n,
  1n << 63n,
  U64_MAX - PAGE,
  U64_MAX,
];

/** Which objects a field means; other ids mean any. */
const MEANS: Readonly<Record<string, string>> = {
  ioas_id: 'ioas',
  src_ioas_id: 'ioas',
  dst_ioas_id: 'ioas',
  object_id: 'ioas',
  dev_id: 'dev',
  hwpt_id: 'hwpt',
  viommu_id: 'viommu',
  fault_id: 'fault',
};
/** What a device can be attached to, or a page table be made of. */
const TABLES = ['ioas', 'ioas', 'hwpt', 'viommu', 'any'];
/** What fields that tell an id call a thing that others call differently. */
const KINDS: Readonly<Record<string, string>> = { idev: 'dev', stdev: 'mock' };

export class ArgumentMaker {
  /** Ids by what they are. */
  private readonly known = new Map<string, number[]>();
  /** The struct that is being made puts something into an address space. */
  private maps = false;

  constructor(
    private readonly chance: Chance,
    private readonly profile: KernelProfile,
    /** The program's memory. */
    private readonly va: bigint,
  ) {}

  /** Segments of one call: the struct, and a buffer that its pointers may lead to. */
  segments(def: IoctlDef): Segment[] {
    const { chance } = this;
    const struct = { va: STRUCT_AT, writable: !chance.once(25), bytes: this.struct(def) };
    const buffer = { va: BUFFER_AT, writable: !chance.once(20), bytes: this.buffer() };
    if (chance.once(100)) struct.bytes = struct.bytes.subarray(0, chance.below(struct.bytes.length));
    return chance.once(150) ? [buffer] : [struct, buffer];
  }

  private struct(def: IoctlDef): Uint8Array {
    const { chance } = this;
    const known = def.forms[this.profile]?.size ?? def.struct.size;
    const length = chance.once(16) ? known + chance.below(12) : known;
    if (chance.once(25)) return this.noise(length);
    const bytes = new Uint8Array(Math.max(length, def.struct.size));
    writeFields(def.struct, bytes, this.fields(def.struct, length));
    if (length > known && chance.once(2)) bytes[length - 1] = 1;
    return bytes.slice(0, length);
  }

  /** Nothing but noise behind a size that is let through. */
  private noise(length: number): Uint8Array {
    const bytes = this.chance.bytes(length);
    new DataView(bytes.buffer).setUint32(0, length, true);
    return bytes;
  }

  private fields(layout: AnyStruct, length: number): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    this.maps = ['user_va', 'dst_iova', 'vaddr', 'fd'].some((name) => name in layout.fields);
    for (const [name, field] of Object.entries(layout.fields))
      out[name] =
        name === 'u' ? new Uint8Array(field.size) : (this.inner(field) ?? this.value(name, field.size, length));
    if ('data_len' in out && 'data_type' in out && this.chance.once(2)) out['data_len'] = out['data_type'] = 0;
    if ('u' in out) out['u'] = this.arm(out['op'] as number, layout.fields['u']!.size);
    return out;
  }

  /** Of a struct inside, or an array: words that mean something; undefined for any other field. */
  private inner({ size, read }: AnyStruct['fields'][string]): unknown {
    const kind: unknown = read(new Uint8Array(size), 0);
    return typeof kind === 'object' && !(kind instanceof Uint8Array) ? read(this.words(size & ~7), 0) : undefined;
  }

  private value(name: string, size: number, length: number): unknown {
    if (size === 8) return this.wide(name);
    if (size > 4 || (name === '__reserved' && size !== 4 && size !== 2)) return this.reservedBytes(size);
    return this.narrow(name, length) & (size === 1 ? 0xff : size === 2 ? 0xffff : 0xffffffff);
  }

  private reservedBytes(size: number): Uint8Array {
    return this.chance.once(20) ? this.chance.bytes(size) : new Uint8Array(size);
  }

  private narrow(name: string, length: number): number {
    const { chance } = this;
    if (name === 'size' || name === 'argsz')
      return chance.once(20) ? chance.pick([0, 3, 4, length - 1, 4096, 0xffffffff]) : length;
    if (chance.once(50)) return chance.bits();
    if (name.startsWith('__reserved')) return chance.once(50) ? 1 : 0;
    if (name.includes('type')) return chance.pick(TYPES);
    if (name.includes('flags')) return chance.once(4) ? chance.below(16) : chance.pick(this.maps ? [3, 7, 7] : [0]);
    if (name === 'iommufd') return chance.once(3) ? chance.bits() : IOMMUFD_FD;
    if (name === 'fd') return chance.pick([MEMFD_FD, MEMFD_FD, chance.below(5)]);
    if (name === 'op') return length < 32 || chance.once(3) ? chance.below(3) : chance.below(24);
    if (name === 'index') return chance.below(3);
    if (name.endsWith('len')) return chance.pick([0, 4, 8, 12, 24, 40]);
    return this.id(name);
  }

  /** Most of the time that of an object which the field could mean. */
  private id(name: string): number {
    const { chance } = this;
    const known = this.known.get(MEANS[name] ?? (name === 'pt_id' ? chance.pick(TABLES) : 'any'));
    if (known && !chance.once(5)) return chance.pick(known);
    return chance.once(4) ? chance.below(40) : chance.below(5);
  }

  /** An object was made: `kind` as the field that told its id calls it. */
  learn(kind: string, id: number): void {
    for (const each of [KINDS[kind] ?? kind, 'any']) {
      const known = this.known.get(each);
      if (known) known.push(id);
      else this.known.set(each, [id]);
    }
  }

  /** The objects are gone. */
  forget(): void {
    this.known.clear();
  }

  private wide(name: string): bigint {
    const { chance } = this;
    if (chance.once(20)) return chance.pick(EXTREMES);
    if (chance.once(40)) return chance.u64();
    if (name === 'user_va' || name === 'vaddr')
      return this.va + BigInt(chance.below(12)) * chance.pick([PAGE, PAGE, PAGE, 2048n]);
    if (name.endsWith('uptr') || name === 'data' || name === 'allowed_iovas') return this.pointer();
    if (name.includes('iova') || name === 'start')
      return APERTURE + BigInt(chance.below(12)) * chance.pick([PAGE, PAGE, PAGE, 2048n]);
    if (name === 'length' || name === 'page_size' || name === 'size')
      return chance.once(3) ? chance.pick(LENGTHS) : BigInt(1 + chance.below(5)) * PAGE;
    return BigInt(chance.below(4));
  }

  private pointer(): bigint {
    const { chance } = this;
    if (chance.once(10)) return 0n;
    return chance.once(5)
      ? this.va + BigInt(chance.below(MEMORY))
      : BigInt(BUFFER_AT + (chance.once(4) ? chance.below(BUFFER) : 0));
  }

  /** What lies in the command's union for an op of the self-test. */
  private arm(op: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    const layout = iommuTestArms.get(op);
    if (layout) writeFields(layout, bytes, this.fields(layout, layout.size));
    return layout && !this.chance.once(20) ? bytes : this.words(size);
  }

  /** Eight-byte words that mean something to one struct or the other. */
  private words(size: number): Uint8Array {
    const view = new DataView(new ArrayBuffer(size));
    for (let at = 0; at < size; at += 8) {
      const name = this.chance.pick(['iova', 'length', 'uptr', 'user_va', 'small', 'small']);
      if (name !== 'small') view.setBigUint64(at, this.wide(name), true);
      else for (const half of [0, 4]) view.setUint32(at + half, this.chance.below(10), true);
    }
    return new Uint8Array(view.buffer);
  }

  /** What pointers lead to: ranges, entries, driver data. */
  private buffer(): Uint8Array {
    const bytes = this.chance.once(3) ? this.chance.bytes(64) : this.words(64);
    const whole = new Uint8Array(BUFFER);
    whole.set(bytes);
    return whole;
  }
}
