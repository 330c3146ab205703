import { capabilityReply, parseChain } from './caps.js';

const cap = (id: number, length: number) => ({ id, version: 1, body: new Uint8Array(length).fill(id) });

/** The chain of a type1 VFIO_IOMMU_GET_INFO as recorded on 6.12: migration, dma_avail, two IOVA ranges. */
const type1 = [cap(2, 24), cap(3, 4), cap(1, 8 + 32)];

describe('capability chains', () => {
  it('offsets and the needed size are those of the recorded type1 reply (24, 56, 72; 120 bytes)', () => {
    const reply = capabilityReply(24, 280, type1);
    expect(reply).toMatchObject({ present: true, capOffset: 24, argsz: 280, needed: 120 });
    const whole = new Uint8Array(280);
    whole.set(reply.chain, 24);
    expect(parseChain(whole, 24).map(({ id, offset }) => [id, offset])).toEqual([
      [2, 24],
      [3, 56],
      [1, 72],
    ]);
  });

  it.each<[string, number, { argsz: number; capOffset: number; length: number }]>([
    ['exactly enough: all of it', 120, { argsz: 120, capOffset: 24, length: 96 }],
    ['one byte short: none of it, argsz raised', 119, { argsz: 120, capOffset: 0, length: 0 }],
    ['only the struct: none of it, argsz raised', 24, { argsz: 120, capOffset: 0, length: 0 }],
    ['more than enough: argsz stays', 4096, { argsz: 4096, capOffset: 24, length: 96 }],
  ])('a buffer with %s', (_rule, argsz, { length, ...expected }) => {
    const reply = capabilityReply(24, argsz, type1);
    expect(reply).toMatchObject({ present: true, needed: 120, ...expected });
    expect(reply.chain.length).toBe(length);
  });

  it('no capability: no flag, argsz stays even when the buffer is short', () =>
    expect(capabilityReply(24, 16, [])).toMatchObject({ present: false, capOffset: 0, argsz: 16, needed: 24 }));

  it('bodies come back, padded to 8 bytes', () => {
    const { chain } = capabilityReply(0x20, 4096, [cap(9, 4), cap(8, 8)]);
    const whole = new Uint8Array(0x20 + chain.length);
    whole.set(chain, 0x20);
    expect(parseChain(whole, 0x20)).toEqual([
      { id: 9, version: 1, offset: 0x20, body: Uint8Array.of(9, 9, 9, 9, 0, 0, 0, 0) },
      { id: 8, version: 1, offset: 0x30, body: new Uint8Array(8).fill(8) },
    ]);
  });

  it.each([
    ['into itself', 24],
    ['backwards', 8],
    ['past the end', 0xffff_fff0],
  ])('a chain that points %s is cut there', (_rule, next) => {
    const reply = new Uint8Array(64);
    new DataView(reply.buffer).setUint32(28, next, true);
    expect(parseChain(reply, 24)).toHaveLength(1);
  });

  it('a header that is not whole is not a capability', () => expect(parseChain(new Uint8Array(30), 24)).toEqual([]));
});
