import { described, FIRST, PAGE, power, registered, TCE, V1, WHOLE, wholeness } from '../testing/power.js';
import { VFIO_IOMMU_ENABLE, VFIO_IOMMU_MAP_DMA } from '@vfiolab/uapi';

const BDF = FIRST.members[0]!;
const WINDOW = 0x8000_0000n;

async function enabled(options = {}) {
  const made = await power(V1, options);
  const { errno } = await made.b.plain(made.fd, VFIO_IOMMU_ENABLE.nr);
  if (errno) throw new Error(errno);
  return made;
}

describe.each([
  ['v1', enabled],
  ['v2', registered],
])('%s', (version, setup) => {
  it('the device reaches what is mapped, as far as it may; an entry that is written can be read', async () => {
    const { b, fd, va } = await setup();
    expect(await b.map(fd, { vaddr: va, iova: 0n, size: PAGE })).toBeUndefined();
    expect(await b.map(fd, { flags: 1, vaddr: va + PAGE, iova: PAGE, size: TCE })).toBeUndefined();
    expect(await b.map(fd, { flags: 2, vaddr: va + TCE, iova: 2n * PAGE, size: TCE })).toBeUndefined();
    expect(await b.dmaWrite(BDF, PAGE - 8n)).toBe(true);
    expect([await b.dmaWrite(BDF, PAGE), await b.dmaRead(BDF, PAGE)]).toEqual([false, new Uint8Array(8)]);
    expect(await b.dmaRead(BDF, 2n * PAGE)).toHaveLength(8);
    expect(await b.dmaRead(BDF, PAGE + TCE)).toBeUndefined();
    expect(wholeness(b)).toEqual(WHOLE);
  });

  it.each([
    ['argsz', { argsz: 31 }, 'EINVAL'],
    ['an unknown flag', { flags: 4 }, 'EINVAL'],
    ['no permission', { flags: 0 }, 'EINVAL'],
    ['half an IOMMU page', { size: 0x800n }, 'EINVAL'],
    ['an address in an IOMMU page', { vaddr: 0x800n }, 'EINVAL'],
    ['a place outside of the window', { iova: WINDOW }, 'ENXIO'],
    ['memory that is not there', { vaddr: 0x1000n }, version === 'v1' ? 'EFAULT' : 'EINVAL'],
  ])('%s is refused', async (_what, wrong, errno) => {
    const { b, fd, va } = await setup();
    expect(await b.map(fd, { vaddr: va, iova: 0n, size: TCE, ...wrong })).toBe(errno);
    expect(wholeness(b)).toEqual(WHOLE);
  });

  it('an iova in an IOMMU page answers 1 and does nothing (p055)', async () => {
    const { b, fd, va } = await setup();
    const fields = { flags: 3, vaddr: va, iova: 0x800n, size: TCE };
    expect(await b.ioctl(fd, VFIO_IOMMU_MAP_DMA, fields)).toMatchObject({ ret: 1, errno: undefined });
    expect(await b.dmaRead(BDF, 0n)).toBeUndefined();
  });

  it('what is mapped is replaced; a failure half-way clears what came before (p054)', async () => {
    const { b, fd, va } = await setup();
    expect(await b.map(fd, { vaddr: va, iova: 0n, size: 4n * TCE })).toBeUndefined();
    expect(await b.map(fd, { vaddr: va + PAGE, iova: TCE, size: TCE })).toBeUndefined();
    expect(await b.dmaWrite(BDF, TCE)).toBe(true);
    const end = va + 8n * PAGE - TCE;
    const refused = version === 'v1' ? 'EFAULT' : 'EINVAL';
    expect(await b.map(fd, { vaddr: end, iova: 2n * TCE, size: 2n * TCE })).toBe(refused);
    expect(await b.dmaRead(BDF, 2n * TCE)).toBeUndefined();
    expect([await b.dmaRead(BDF, TCE), await b.dmaRead(BDF, 3n * TCE)]).toEqual([
      new Uint8Array(8).fill(0x5a),
      new Uint8Array(8),
    ]);
    expect(wholeness(b)).toEqual(WHOLE);
  });

  it('kernel bug: only the first page is asked whether it is inside; the lab writes no further (q001, q002)', async () => {
    const { b, fd, va, container } = await setup();
    expect(await b.map(fd, { vaddr: va, iova: WINDOW - TCE, size: 2n * TCE })).toBeUndefined();
    expect([await b.dmaWrite(BDF, WINDOW - TCE), await b.dmaWrite(BDF, WINDOW)]).toEqual([true, false]);
    expect(described(b)).toMatch(/kernel bug: 1 TCEs/);
    expect(wholeness(b)).toEqual(WHOLE);
    await b.leave(container, FIRST);
    await b.close(fd);
    await b.run(b.p.exit());
    expect(b.left()).toEqual({});
  });

  it('nothing is mapped when the size is 0', async () => {
    const { b, fd, va } = await setup();
    expect(await b.map(fd, { vaddr: va, iova: 0n, size: 0n })).toBeUndefined();
    expect(await b.dmaRead(BDF, 0n)).toBeUndefined();
  });
});

it('without ENABLE or a registration: EPERM, before the argument is looked at', async () => {
  const { b, fd, va } = await power(V1);
  expect(await b.map(fd, { vaddr: va, iova: 0n, size: TCE })).toBe('EPERM');
  expect((await b.plain(fd, VFIO_IOMMU_MAP_DMA.nr, 0)).errno).toBe('EPERM');
});

it('v1 cannot map memory that may only be read (SURPRISES 66)', async () => {
  const { b, fd } = await enabled();
  const readOnly = await b.memory(Number(PAGE), 1);
  expect(await b.map(fd, { flags: 1, vaddr: readOnly, iova: 0n, size: TCE })).toBe('EFAULT');
});

it('under a hypervisor an entry that is written cannot be read', async () => {
  const { b, fd, va } = await registered({ iommu: 'ppc64-pseries' });
  expect(await b.map(fd, { flags: 2, vaddr: va, iova: 0n, size: TCE })).toBeUndefined();
  expect([await b.dmaWrite(BDF, 0n), await b.dmaRead(BDF, 0n)]).toEqual([true, undefined]);
});
