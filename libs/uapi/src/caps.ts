/**
 * Capability chains: the list VFIO's *_INFO ioctls put behind their struct.
 *
 * Words: each capability starts with {u16 id, u16 version, u32 next}; offsets count from the start of the info struct; a
 * `next` of 0 ends the chain. Every capability takes a multiple of 8 bytes.
 * The one rule: a buffer too small for the whole chain is still success; the caller gets no capability, cap_offset 0, and
 * in argsz the size that would do (uAPI section 0).
 */
import { decode, encode } from './codec.js';
import { vfio_info_cap_header } from './vfio-info.js';

const HEADER = vfio_info_cap_header.size;
const ALIGN = 8;

/** One capability; `body` is what follows its 8-byte header. */
export interface Capability {
  readonly id: number;
  readonly version: number;
  readonly body: Uint8Array;
}

/** What an info ioctl reports about its chain. All numbers are bytes. */
export interface CapabilityReply {
  /** True when there is any capability, fitting or not: set the CAPS flag. */
  readonly present: boolean;
  /** 0 when there is none or the buffer is too small. */
  readonly capOffset: number;
  /** The caller's argsz, raised to `needed` when that is more. */
  readonly argsz: number;
  /** Struct and chain together. */
  readonly needed: number;
  /** Bytes to write right behind the struct; empty when nothing fits. */
  readonly chain: Uint8Array;
}

/** Lays a chain out behind an info struct of `infoSize` bytes for a caller who offered `argsz` bytes. */
export function capabilityReply(infoSize: number, argsz: number, caps: readonly Capability[]): CapabilityReply {
  const chain = buildChain(infoSize, caps);
  const needed = infoSize + chain.length;
  const present = caps.length > 0;
  if (!present) return { present, capOffset: 0, argsz, needed, chain };
  if (argsz < needed) return { present, capOffset: 0, argsz: needed, needed, chain: new Uint8Array(0) };
  return { present, capOffset: infoSize, argsz, needed, chain };
}

function buildChain(infoSize: number, caps: readonly Capability[]): Uint8Array {
  const sizes = caps.map((cap) => Math.ceil((HEADER + cap.body.length) / ALIGN) * ALIGN);
  const chain = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  caps.forEach(({ id, version, body }, i) => {
    const end = at + sizes[i]!;
    const next = i === caps.length - 1 ? 0 : infoSize + end;
    encode(vfio_info_cap_header, { id, version, next }, chain, at);
    chain.set(body, at + HEADER);
    at = end;
  });
  return chain;
}

/** A capability found in a reply: `offset` is where its header starts, `body` ends where the next one begins. */
export interface FoundCapability extends Capability {
  readonly offset: number;
}

/**
 * Walks the chain of a whole reply (struct and chain in `reply`). Offsets must rise, so the walk ends on any input: a
 * chain that points backwards, into itself or past the end is cut there.
 */
export function parseChain(reply: Uint8Array, capOffset: number): FoundCapability[] {
  const found: FoundCapability[] = [];
  let offset = capOffset;
  while (offset !== 0 && offset + HEADER <= reply.length) {
    const { id, version, next } = decode(vfio_info_cap_header, reply, offset);
    const rises = next >= offset + HEADER;
    found.push({ id, version, offset, body: reply.slice(offset + HEADER, rises ? next : reply.length) });
    if (!rises) break;
    offset = next;
  }
  return found;
}
