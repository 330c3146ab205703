/** Kernels with pages of 64 KiB: what an IOAS takes, where it places things, and what is told of it (SURPRISES 72). */
import { IOMMU_IOAS_IOVA_RANGES, IOMMU_IOAS_MAP, IOMMU_OPTION } from '@vfiolab/uapi';
import { Passthrough, text } from './support/iommu-host.js';

const PAGE = 0x10000n;
const [READ_WRITE, HUGE_PAGES] = [6, 1];

async function boot(profile = '7.2') {
  const b = await Passthrough.boot({ iommu: 'arm-smmu-v3', profile, pageShift: 16 });
  const [device, ioas, va] = [await b.device(), await b.ioas(), await b.memory(4 * 0x10000)];
  expect(va % 0x10000).toBe(0);
  const alignment = async () => {
    const call = { ioas_id: ioas, num_iovas: 4, allowed_iovas: new Uint8Array(64) };
    return (await b.sure(IOMMU_IOAS_IOVA_RANGES, call)).out_iova_alignment;
  };
  return { b, device, ioas, va, alignment };
}

it.each(['6.12', '7.2'])('%s: with a domain IOVA, length and address are multiples of 64 KiB', async (profile) => {
  const { b, device, ioas, va, alignment } = await boot(profile);
  expect(await alignment()).toBe(1n);
  expect(await b.attach(device, ioas)).toBeUndefined();
  expect(await alignment()).toBe(PAGE);
  for (const [iova, at, length, errno] of [
    [PAGE, va, PAGE, undefined],
    [2n * PAGE + 0x1000n, va, PAGE, 'EINVAL'],
    [2n * PAGE, va + 0x1000, PAGE, 'EINVAL'],
    [2n * PAGE, va, 0x1000n, 'EINVAL'],
    [2n * PAGE, va + 0x10000, 2n * PAGE, undefined],
  ] as const)
    expect([iova, at, length, await b.map(ioas, iova, at, length)]).toEqual([iova, at, length, errno]);
  await b.poke(va, text('large'));
  await b.copy(device, PAGE, PAGE + 0x8000n, 5);
  expect(await b.peek(va + 0x8000, 5)).toBe('large');
  expect(await b.detach(device)).toBeUndefined();
  expect([await alignment(), b.broken()]).toEqual([1n, []]);
});

it('areas that are on no page keep devices away, also after a restart', async () => {
  const { b, device, ioas, va } = await boot();
  expect(await b.map(ioas, 0x1000n, va, 0x1000n)).toBeUndefined();
  b.host.host.crash('iommufd', 5);
  expect(await b.attach(device, ioas)).toBe('EADDRINUSE');
  expect(await b.unmap(ioas, 0x1000n, 0x1000n)).toBeUndefined();
  expect(await b.attach(device, ioas)).toBeUndefined();
  expect(await b.map(ioas, 0x1000n, va, 0x1000n)).toBe('EINVAL');
});

it('small pages are the kernel’s, and nothing is placed in its first page', async () => {
  const { b, ioas, va, alignment } = await boot();
  const anywhere = { ioas_id: ioas, user_va: BigInt(va), length: PAGE, flags: READ_WRITE };
  expect((await b.sure(IOMMU_IOAS_MAP, anywhere)).iova).toBe(PAGE);
  await b.unmap(ioas, PAGE, PAGE);
  await b.sure(IOMMU_OPTION, { option_id: HUGE_PAGES, op: 0, object_id: ioas, val64: 0n });
  expect(await alignment()).toBe(PAGE);
  expect(b.broken()).toEqual([]);
});
