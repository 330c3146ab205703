/**
 * 42: what the kernel's iommufd self-test asks of pages in domains and accesses, in our own words: every alignment, pins
 * counted, IOPTEs compared with the CPU's pages.
 */
import {
  iommu_test_access_replace_ioas,
  iommu_test_destroy_access_pages,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
} from '@vfiolab/uapi';
import { readBy, writeBy } from './support/accesses.js';
import { Lab, NOTHING } from './support/lab.js';
import { ALL, APERTURE, MOCK_PAGE, type Mock, PAGE, pattern, type Program, READABLE } from './support/program.js';

const BUFFER = 8 * PAGE;
const HUGE = 0x200000;

async function setup(domains: number, profile: '6.12' | '7.2' = '6.12') {
  const lab = await Lab.mock({ profile });
  const p = await lab.program('test');
  const ioas = await p.ioas();
  const mocks: Mock[] = [];
  for (let i = 0; i < domains; i++) mocks.push(await p.mock(ioas));
  const shows = async (iova: bigint, va: bigint, length: number): Promise<void> => {
    for (const { hwpt } of mocks) expect(await p.shows(hwpt, iova, va, length)).toBeUndefined();
  };
  return { lab, p, ioas, mocks, shows };
}

const dropPins = (p: Program, access: number, access_pages_id: number) =>
  p.opErrno(IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, iommu_test_destroy_access_pages, access, { access_pages_id });

describe.each([1, 2])('42: %i domains', (domains) => {
  it('memory that ends halfway, or is not there at all, is EFAULT and leaves nothing', async () => {
    for (const pageShift of [12, 21]) {
      const { lab, p, ioas, shows } = await setup(domains);
      const size = pageShift === 12 ? BUFFER : 2 * HUGE;
      const va = await p.memory(size, { pageShift, shared: true });
      const iova = (await p.mapAnywhere(ioas, va, PAGE)) as bigint;
      await shows(iova, va, PAGE);
      expect(await p.unmap(ioas, iova, PAGE)).toBe(BigInt(PAGE));
      for (const [offset, length] of [
        [size / 2, size / 2],
        [0, size / 2],
      ] as const) {
        await p.munmap(va + BigInt(offset), length);
        expect(await p.mapAnywhere(ioas, va, size)).toBe('EFAULT');
        expect((await p.counters()).pinned).toBe(0);
      }
      expect(await lab.afterwards(p)).toEqual(NOTHING);
    }
  });

  it('a read-only mapping shows the page that the program writes to later', async () => {
    const { lab, p, ioas, shows } = await setup(domains);
    const va = await p.memory(PAGE);
    const iova = (await p.mapAnywhere(ioas, va, PAGE, READABLE)) as bigint;
    await shows(iova, va, PAGE);
    await p.write(va, new Uint8Array(PAGE).fill(1));
    await shows(iova, va, PAGE);
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('every start and end in half pages, also when a domain joins while the area is there: one pin a page', async () => {
    const { lab, p, ioas, shows } = await setup(domains);
    const va = await p.memory(BUFFER, { shared: true });
    expect(await p.refs(va, BUFFER, 0)).toBeUndefined();
    for (let start = 0; start < BUFFER; start += domains * MOCK_PAGE)
      for (let end = start + MOCK_PAGE; end < BUFFER; end += 3 * MOCK_PAGE) {
        const length = end - start;
        const from = va + BigInt(start);
        const iova = (await p.mapAnywhere(ioas, from, length)) as bigint;
        await shows(iova, from, length);
        const [first, past] = [Math.floor(start / PAGE), Math.floor(end / PAGE)];
        if (past > first) expect(await p.refs(va + BigInt(first * PAGE), (past - first) * PAGE, 1)).toBeUndefined();
        if (start % (4 * MOCK_PAGE) === 0) {
          const joined = await p.mock(ioas);
          expect(await p.shows(joined.hwpt, iova, from, length)).toBeUndefined();
          if (past > first) expect(await p.refs(va + BigInt(first * PAGE), (past - first) * PAGE, 1)).toBeUndefined();
          expect(await p.destroy(joined.object)).toBeUndefined();
        }
        expect(await p.unmap(ioas, iova, length)).toBe(BigInt(length));
      }
    expect(await p.refs(va, BUFFER, 0)).toBeUndefined();
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('the same with hugetlb pages', async () => {
    const { lab, p, ioas, shows } = await setup(domains);
    const va = await p.memory(2 * HUGE, { pageShift: 21, shared: true });
    for (let start = 0; start < 2 * HUGE; start += HUGE / 4)
      for (const end of [start + MOCK_PAGE, 2 * HUGE - MOCK_PAGE]) {
        if (end <= start) continue;
        const [from, length] = [va + BigInt(start), end - start];
        const iova = (await p.mapAnywhere(ioas, from, length)) as bigint;
        await shows(iova, from, Math.min(length, 64 * PAGE));
        expect((await p.counters()).pinned).toBe(Math.ceil(length / PAGE));
        expect(await p.unmap(ioas, iova, length)).toBe(BigInt(length));
      }
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('what an access pinned is copied into an IOAS with domains; the access then moves and the same holds again', async () => {
    const { lab, p, ioas, shows } = await setup(domains);
    const va = await p.memory(BUFFER);
    const [one, two] = [await p.ioas(), await p.ioas()];
    const access = await p.access(one);
    let src = (await p.mapAnywhere(one, va, BUFFER)) as bigint;
    await p.pin(access, src, BUFFER);
    expect(await p.copy(one, src, ioas, APERTURE, BUFFER)).toBeUndefined();
    await shows(APERTURE, va, BUFFER);
    expect(await p.refs(va, BUFFER, 1)).toBeUndefined();
    src = (await p.mapAnywhere(two, va, BUFFER)) as bigint;
    await replaceIoas(p, access, two);
    expect(await p.unmap(ioas, APERTURE, BUFFER)).toBe(BigInt(BUFFER));
    expect(await p.destroy(one)).toBeUndefined();
    const item = await p.pin(access, src, BUFFER);
    expect(await p.copy(two, src, ioas, APERTURE, BUFFER)).toBeUndefined();
    await shows(APERTURE, va, BUFFER);
    expect(await dropPins(p, access, item)).toBeUndefined();
    await p.close(access);
    expect(await p.destroy(two)).toBeUndefined();
    expect(await p.refs(va, BUFFER, 1)).toBeUndefined();
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('a device that moves takes its auto HWPT away when it was the last; HWPTs made by name stay', async () => {
    const { lab, p, ioas, mocks } = await setup(domains);
    const [{ object, hwpt, device }] = mocks as [Mock];
    const other = await p.ioas();
    expect(await p.replaceErrno(object, other)).toBeUndefined();
    if (domains === 1) expect(await p.replaceErrno(object, hwpt)).toBe('ENOENT');
    else expect(await p.replaceErrno(object, mocks[1]!.hwpt)).toBeUndefined();
    expect(await p.replaceErrno(object, other)).toBeUndefined();
    expect(await p.replaceErrno(object, ioas)).toBeUndefined();
    expect(await p.destroy(other)).toBeUndefined();
    const [plain, parent] = [await p.hwpt(device, ioas), await p.hwpt(device, ioas, 1)];
    for (const each of [plain, parent]) {
      expect(await p.replaceErrno(object, each)).toBeUndefined();
      expect(await p.destroy(each)).toBe('EBUSY');
    }
    expect(await p.replaceErrno(object, ioas)).toBeUndefined();
    expect(await p.destroy(parent)).toBeUndefined();
    const { object: second } = await p.mock(plain);
    expect(await p.destroy(plain)).toBe('EBUSY');
    expect(await p.destroy(second)).toBeUndefined();
    expect(await p.destroy(plain)).toBeUndefined();
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });
});

const replaceIoas = (p: Program, access: number, ioas_id: number) =>
  p.op(IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, iommu_test_access_replace_ioas, access, { ioas_id });

describe.each([0, 1, 2])('42: accesses over an IOAS with %i domains', (domains) => {
  it('pins of every length, twice, and with a domain that comes and goes', async () => {
    const { lab, p, ioas } = await setup(domains);
    const va = await p.memory(BUFFER);
    const access = await p.access(ioas);
    const pinned = domains > 0 ? 1 : 0;
    for (let pages = 1; pages < BUFFER / PAGE; pages += 2) {
      const length = pages * PAGE;
      expect(await p.map(ioas, APERTURE, va, BUFFER)).toBeUndefined();
      const [first, second] = [await p.pin(access, APERTURE, length), await p.pin(access, APERTURE, length)];
      expect(await p.refs(va, length, 1)).toBeUndefined();
      expect(await dropPins(p, access, second)).toBeUndefined();
      expect(await p.refs(va, length, 1)).toBeUndefined();
      const { hwpt, object } = await p.mock(ioas);
      expect(await p.shows(hwpt, APERTURE, va, BUFFER)).toBeUndefined();
      expect(await p.refs(va, BUFFER, 1)).toBeUndefined();
      expect(await p.destroy(object)).toBeUndefined();
      expect(await p.refs(va, length, 1)).toBeUndefined();
      expect(await p.refs(va + BigInt(length), BUFFER - length, pinned)).toBeUndefined();
      expect(await dropPins(p, access, first)).toBeUndefined();
      expect(await p.refs(va, length, pinned)).toBeUndefined();
      expect(await p.unmap(ioas, APERTURE, BUFFER)).toBe(BigInt(BUFFER));
    }
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('the last domain goes while an access holds one page of a hugetlb page', async () => {
    const { lab, p, ioas, mocks } = await setup(domains);
    const va = await p.memory(2 * HUGE, { pageShift: 21, shared: true });
    expect(await p.map(ioas, APERTURE, va, 2 * HUGE)).toBeUndefined();
    const access = await p.access(ioas);
    const item = await p.pin(access, APERTURE + BigInt(PAGE), PAGE);
    for (const { object } of mocks) expect(await p.destroy(object)).toBeUndefined();
    expect((await p.counters()).pinned).toBe(1);
    expect(await dropPins(p, access, item)).toBeUndefined();
    expect((await p.counters()).pinned).toBe(0);
    await p.munmap(va, 2 * HUGE);
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it.each([
    ['on pages', 0n],
    ['half a page into the aperture', BigInt(MOCK_PAGE)],
  ])('reads and writes across the pages, by both ways: mapped %s', async (_where, offset) => {
    const { lab, p, ioas } = await setup(domains);
    const [va, iova] = [await p.memory(BUFFER), APERTURE + offset];
    await p.write(
      va,
      Uint8Array.from({ length: BUFFER }, (_, i) => (i * 7) & 0xff),
    );
    expect(await p.map(ioas, iova, va, BUFFER)).toBeUndefined();
    const access = await p.access(ioas, 0);
    for (const slow of [false, true])
      for (const at of [PAGE - 50, PAGE - 17, PAGE - 1, PAGE, PAGE + 13])
        for (const length of [1, 2, 18, 63]) {
          const there = iova + BigInt(at);
          expect(await readBy(p, access, there, length, slow)).toEqual(await p.read(va + BigInt(at), length));
          expect(await writeBy(p, access, there, pattern(length, at & 0xff), slow)).toBeUndefined();
          expect(await p.read(va + BigInt(at), length)).toEqual([...pattern(length, at & 0xff)]);
        }
    expect(await readBy(p, access, iova, BUFFER, true)).toEqual(await p.read(va, BUFFER));
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  });

  it('memory of a child: read while it lives; when it has gone only what was pinned by then', async () => {
    for (const gone of [true, false]) {
      const { lab, p, ioas } = await setup(domains);
      const va = await p.memory(BUFFER, { shared: false });
      const access = await p.access(ioas, 0);
      const child = await p.fork('child');
      await child.write(va, pattern(64, 9));
      expect(await child.map(ioas, APERTURE, va, BUFFER)).toBeUndefined();
      if (gone) await child.exit();
      const lost = gone && domains === 0;
      expect(await p.mockErrno(ioas)).toBe(lost ? 'EFAULT' : undefined);
      if (!lost) {
        expect(await readBy(p, access, APERTURE, 64)).toEqual([...pattern(64, 9)]);
        expect(await p.read(va, 1)).toEqual([0]);
      }
      expect(await p.unmap(ioas, 0n, ALL)).toBe(BigInt(BUFFER));
      expect(await lab.afterwards(p, ...(gone ? [] : [child]))).toEqual(NOTHING);
    }
  });
});
