/**
 * 42: what the kernel's iommufd self-test asks of areas, in our own words, as programs that sweep where traces take samples.
 *
 * Every test runs over IOAS without a domain, with one and with two: what MAP and UNMAP answer must not depend on it.
 */
import {
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_OPTION,
  IOMMU_OPTION_HUGE_PAGES,
  iommu_test_add_reserved,
  IOMMU_TEST_OP_ADD_RESERVED,
} from '@vfiolab/uapi';
import { Lab, NOTHING } from './support/lab.js';
import { ALL, APERTURE, FIXED, MOCK_PAGE, PAGE, type Program, WRITEABLE } from './support/program.js';

const BUFFER = 16 * PAGE;

/** An IOAS with so many mock devices, each with a domain of its own, and memory. */
async function setup(domains: number) {
  const lab = await Lab.mock({ profile: domains === 1 ? '6.12' : '7.2' });
  const p = await lab.program('test');
  const [ioas, va] = [await p.ioas(), await p.memory(BUFFER)];
  const objects: number[] = [];
  for (let i = 0; i < domains; i++) objects.push((await p.mock(ioas)).object);
  return { lab, p, ioas, va, objects, base: domains > 0 ? APERTURE : 0n };
}

const hugePages = (p: Program, object_id: number, val64: bigint, op = 0) =>
  p.call(IOMMU_OPTION, { option_id: IOMMU_OPTION_HUGE_PAGES, op, object_id, val64 });

describe.each([0, 1, 2])('42: areas of an IOAS with %i domains', (domains) => {
  it('nothing mapped is ENOENT, nothing is cut, nothing is mapped over', async () => {
    const { lab, p, ioas, va, base, objects } = await setup(domains);
    const at = (page: number) => base + BigInt(page * PAGE);
    for (let i = 0; i < 10; i++) expect(await p.unmap(ioas, BigInt(i * PAGE), PAGE)).toBe('ENOENT');
    for (let i = 0; i < 10; i++) expect(await p.map(ioas, at(i), va, PAGE)).toBeUndefined();
    for (let i = 0; i < 10; i++) expect(await p.unmap(ioas, at(i), PAGE)).toBe(BigInt(PAGE));
    expect(await p.map(ioas, at(16), va, 2 * PAGE)).toBeUndefined();
    for (const page of [16, 17]) expect(await p.unmap(ioas, at(page), PAGE)).toBe('ENOENT');
    for (const [page, pages] of [
      [16, 2],
      [16, 1],
      [17, 1],
      [15, 2],
      [15, 3],
    ] as const)
      expect(await p.map(ioas, at(page), va, pages * PAGE)).toBe('EEXIST');
    expect(await p.destroy(ioas)).toBe(objects.length > 0 ? 'EBUSY' : undefined);
    if (objects.length > 0) expect(await p.unmap(ioas, 0n, ALL)).toBe(BigInt(2 * PAGE));
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('UNMAP takes the areas that lie wholly in its range', async () => {
    const { lab, p, ioas, va, base } = await setup(domains);
    const at = (page: number) => base + BigInt((4 + page) * PAGE);
    for (let i = 0; i < 4; i++) expect(await p.map(ioas, at(16 * i), va, 8 * PAGE)).toBeUndefined();
    expect(await p.unmap(ioas, at(-4), 8 * PAGE)).toBe('ENOENT');
    expect(await p.unmap(ioas, at(3 * 16 + 8 - 4), 8 * PAGE)).toBe('ENOENT');
    expect(await p.unmap(ioas, at(-4), (3 * 16 + 8 + 4) * PAGE)).toBe(BigInt(32 * PAGE));
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('the kernel chooses IOVAs that are aligned to the length, outside of what is reserved, inside of what is allowed', async () => {
    const { lab, p, ioas, va, base } = await setup(domains);
    const aligned = (length: number) => BigInt(length & -length);
    const chosen = async (judge: (iova: bigint, length: number) => boolean) => {
      const iovas: (readonly [bigint, number])[] = [];
      for (let pages = 1; pages <= 10; pages++) {
        const iova = await p.mapAnywhere(ioas, va, pages * PAGE);
        if (typeof iova !== 'bigint') throw new Error(iova);
        expect([pages, iova % aligned(pages * PAGE)]).toEqual([pages, 0n]);
        expect(judge(iova, pages * PAGE)).toBe(true);
        iovas.push([iova, pages * PAGE]);
      }
      for (const [iova, length] of iovas) expect(await p.unmap(ioas, iova, length)).toBe(BigInt(length));
    };
    await chosen(() => true);
    const reserved = { start: base + BigInt(4 * PAGE), length: BigInt(100 * PAGE) };
    await p.op(IOMMU_TEST_OP_ADD_RESERVED, iommu_test_add_reserved, ioas, reserved);
    await chosen((iova, length) => iova + BigInt(length) <= reserved.start || iova >= reserved.start + reserved.length);
    const allow = (start: bigint, last: bigint) => {
      const allowed_iovas = new Uint8Array(BigUint64Array.of(start, last).buffer);
      return p.errno(IOMMU_IOAS_ALLOW_IOVAS, { ioas_id: ioas, num_iovas: 1, allowed_iovas });
    };
    expect(await allow(base + BigInt(PAGE), base + BigInt(600 * PAGE))).toBe('EADDRINUSE');
    const [start, end] = [base + BigInt(200 * PAGE), base + BigInt(600 * PAGE)];
    expect(await allow(start, end - 1n)).toBeUndefined();
    await chosen((iova, length) => iova >= start && iova + BigInt(length) <= end);
    const more = { start: start + BigInt(PAGE), length: BigInt(PAGE) };
    expect(await p.opErrno(IOMMU_TEST_OP_ADD_RESERVED, iommu_test_add_reserved, ioas, more)).toBe('EADDRINUSE');
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('lengths: every one without a domain, those of whole IOPTEs with one', async () => {
    const { lab, p, ioas, va } = await setup(domains);
    for (let length = 1; length < 2 * PAGE; length += domains > 0 ? 73 : 211) {
      const iova = await p.mapAnywhere(ioas, va, length);
      if (domains > 0 && length % MOCK_PAGE !== 0) expect([length, iova]).toEqual([length, 'EINVAL']);
      else expect(await p.unmap(ioas, iova as bigint, length)).toBe(BigInt(length));
    }
    for (const length of [MOCK_PAGE, 2 * MOCK_PAGE, 3 * MOCK_PAGE])
      expect(await p.mapAnywhere(ioas, va, length)).toEqual(expect.any(BigInt));
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('the alignment may rise as long as the areas fit it', async () => {
    const { lab, p, ioas, va } = await setup(domains);
    expect((await hugePages(p, ioas, 3n, 1)).out.val64).toBe(1n);
    expect((await hugePages(p, ioas, 2n)).errno).toBe('EINVAL');
    expect(await p.map(ioas, APERTURE, va, PAGE)).toBeUndefined();
    expect((await hugePages(p, ioas, 0n)).errno).toBe(domains > 0 ? 'EINVAL' : undefined);
    if (domains === 0) {
      expect((await hugePages(p, ioas, 3n, 1)).out.val64).toBe(0n);
      const [iova, half] = [APERTURE + BigInt(PAGE), va + BigInt(MOCK_PAGE)];
      expect(await p.map(ioas, iova, half, PAGE)).toBe('EINVAL');
      expect((await hugePages(p, ioas, 1n)).errno).toBeUndefined();
      expect(await p.map(ioas, iova, half, PAGE)).toBeUndefined();
      expect((await hugePages(p, ioas, 0n)).errno).toBe('EADDRINUSE');
    }
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('COPY of a piece from every place: inside of the area it is done, over an end it is ENOENT', async () => {
    const { lab, p, ioas, va } = await setup(domains);
    const to = await p.ioas();
    const last = APERTURE + BigInt(domains > 0 ? BUFFER - 1 : BUFFER - 2);
    const length = Number(last - APERTURE) + 1;
    expect(await p.map(ioas, APERTURE, va, length, FIXED | WRITEABLE)).toBeUndefined();
    for (let from = APERTURE - BigInt(PAGE); from <= last; from += 511n) {
      const inside = from >= APERTURE && from + BigInt(MOCK_PAGE) - 1n <= last;
      expect([from, await p.copy(ioas, from, to, APERTURE, MOCK_PAGE)]).toEqual([from, inside ? undefined : 'ENOENT']);
      if (inside) expect(await p.unmap(to, APERTURE, MOCK_PAGE)).toBe(BigInt(MOCK_PAGE));
    }
    expect(await p.destroy(to)).toBeUndefined();
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });
});

it('42: an IOAS with many areas goes with the fd, or by DESTROY when no device has it', async () => {
  for (const how of ['close', 'destroy'] as const) {
    const { lab, p, ioas, va } = await setup(0);
    for (let i = 0; i < 10; i++) expect(await p.map(ioas, BigInt(i * PAGE), va, PAGE)).toBeUndefined();
    if (how === 'close') await p.close(p.fd);
    else expect(await p.destroy(ioas)).toBeUndefined();
    expect(lab.held()).not.toHaveProperty('stores');
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  }
});
