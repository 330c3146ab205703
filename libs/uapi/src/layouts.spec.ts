/** Every struct against measured layouts (test/layouts.json, from DWARF data of the 7.3 headers on x86-64). */
import { readFileSync } from 'node:fs';
import type { AnyStruct } from './codec.js';
import { decode, encode } from './codec.js';
import * as uapi from './index.js';

type Layout = { size: number; fields: [string, number, number][]; flexible?: [string, number, string] };

const facts = JSON.parse(readFileSync(new URL('../test/layouts.json', import.meta.url), 'utf8')) as Record<
  string,
  Layout
>;

const isStruct = (value: unknown): value is AnyStruct =>
  typeof value === 'object' && value !== null && 'entries' in value && 'fields' in value;

/** Every exported struct by its own name; the elements of plain flexible arrays and the lab's own are not structs of the kernel. */
const structs = new Map(
  Object.values<unknown>(uapi)
    .filter(isStruct)
    .filter(({ name }) => !name.startsWith('vfiolab_'))
    .filter((layout) => layout !== uapi.u8_element && layout !== uapi.s32_element)
    .map((layout) => [layout.name, layout]),
);

/** A small seeded generator (mulberry32), so that a failing case is the same next time. */
function randomBytes(seed: number, length: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) & 0xff;
  });
}

/** `image` with every byte that no measured field covers set to zero: padding does not survive a decode. */
function withoutPadding(fact: Layout, image: Uint8Array): Uint8Array {
  const out = new Uint8Array(fact.size);
  for (const [, offset, size] of fact.fields) out.set(image.subarray(offset, offset + size), offset);
  return out;
}

describe('struct layouts', () => {
  it('every measured struct is exported under its kernel name, and no other', () => {
    expect([...structs.keys()].sort()).toEqual(Object.keys(facts).sort());
  });

  it.each(Object.entries(facts))('%s has the measured size, offsets and widths', (name, fact) => {
    const layout = structs.get(name)!;
    expect(layout.size).toBe(fact.size);
    expect(layout.entries.map(([field, { offset, size }]) => [field, offset, size])).toEqual(fact.fields);
    const { flexible } = layout;
    expect(flexible && [flexible.name, flexible.offset, flexible.element.name]).toEqual(fact.flexible);
  });

  it.each([...structs])('%s: encoding what was decoded gives the same bytes', (name, layout) => {
    for (let seed = 1; seed <= 20; seed++) {
      const image = randomBytes(seed * 7919 + layout.size, layout.size);
      expect(encode(layout, decode(layout, image))).toEqual(withoutPadding(facts[name]!, image));
    }
  });

  it.each([...structs])('%s: a buffer cut anywhere decodes as if the rest were zero', (_name, layout) => {
    const image = randomBytes(layout.size, layout.size);
    for (let length = 0; length < layout.size; length++) {
      const padded = new Uint8Array(layout.size);
      padded.set(image.subarray(0, length));
      expect(decode(layout, image.subarray(0, length))).toEqual(decode(layout, padded));
    }
  });
});
