import { IOMMU_IOAS_ALLOW_IOVAS } from '@vfiolab/uapi';
import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { PAGE, type Program } from './support/program.js';

const allow = (p: Program, ioas_id: number, ...ranges: [bigint, bigint][]) =>
  p.errno(IOMMU_IOAS_ALLOW_IOVAS, {
    ioas_id,
    num_iovas: ranges.length,
    allowed_iovas: new Uint8Array(BigUint64Array.from(ranges.flat()).buffer),
  });

it('38: a device whose MSI window lies in an allowed range is not attached: EADDRINUSE', async () => {
  const lab = await Lab.real();
  const p = await lab.program('vmm');
  const [ioas, device] = [await p.ioas(), await p.device(FUNCTIONS[0])];
  expect(await allow(p, ioas, [0n, 0xffffffffn])).toBeUndefined();
  expect(await device.attach(ioas)).toBe('EADDRINUSE');
  expect((await p.ranges(ioas)).ranges).toEqual([[0n, 0xffff_ffff_ffff_ffffn]]);
  // Around the window there is room, and MAP takes its IOVAs from there.
  const ranges: [bigint, bigint][] = [
    [0xfeef_e000n - 0x100000n, 0xfedf_ffffn],
    [0xfef0_0000n, 0xfef0_0fffn],
  ];
  expect(await allow(p, ioas, ...ranges)).toBeUndefined();
  expect(await device.attach(ioas)).toBeUndefined();
  const va = await p.memory(PAGE);
  expect(await p.mapAnywhere(ioas, va, PAGE)).toBe(0xfedf_e000n);
  expect(await p.mapAnywhere(ioas, va, PAGE)).toBe(0xfedf_f000n);
  expect(await p.mapAnywhere(ioas, va, PAGE)).toBe(0xfef0_0000n);
  expect(await p.mapAnywhere(ioas, va, PAGE)).toBe('ENOSPC');
  // A fixed place needs no leave.
  expect(await p.map(ioas, 0x1000n, va, PAGE)).toBeUndefined();
  expect(await allow(p, ioas, [0n, 0xffffffffn])).toBe('EADDRINUSE');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
