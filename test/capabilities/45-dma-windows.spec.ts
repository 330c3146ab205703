import { NOTHING } from './support/container-lab.js';
import {
  ALONE,
  createWindow,
  KERNEL_PAGE,
  powerLab,
  registeredMemory,
  removeWindow,
  TCE,
  V2,
} from './support/power-lab.js';

const SECOND = 1n << 59n;
const SIZE = 0x1000_0000n;

it('45: a window at 0 and one at 2^59 serve a device; outside of both is ENXIO', async () => {
  const lab = await powerLab();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready([ALONE], V2);
  const engine = await p.engine(groups[0]!, ALONE);
  const va = await registeredMemory(p, container, 2, 0x11);
  expect(await createWindow(p, container, 16, SIZE)).toBe(SECOND);
  expect(await p.map(container, { vaddr: va, iova: 0n, size: TCE })).toBeUndefined();
  const page = BigInt(KERNEL_PAGE);
  expect(await p.map(container, { vaddr: va, iova: SECOND, size: TCE })).toBe('EINVAL');
  expect(await p.map(container, { vaddr: va + page, iova: SECOND, size: page })).toBeUndefined();
  await p.copy(engine, 0n, SECOND + 0x100n, 1);
  expect(await p.byteAt(va + page + 0x100n)).toBe(0x11);
  // A window is rounded up to a page of table: 8192 of its pages (SURPRISES 61).
  for (const iova of [0x8000_0000n, SECOND - page, SECOND + 2n * SIZE, 1n << 63n])
    expect(await p.map(container, { vaddr: va, iova, size: page })).toBe('ENXIO');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('45: what no window maps, no device reaches; a window that is removed takes its mappings along', async () => {
  const lab = await powerLab();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready([ALONE], V2);
  const engine = await p.engine(groups[0]!, ALONE);
  const va = await registeredMemory(p, container, 1, 0x11);
  expect(await p.map(container, { vaddr: va, iova: 0n, size: 2n * TCE })).toBeUndefined();
  await p.copy(engine, 2n * TCE, TCE, 8);
  expect(await p.byteAt(va + TCE)).toBe(0);
  expect(await removeWindow(p, container, 0n)).toBeUndefined();
  await p.copy(engine, 0n, 0x800n, 8);
  expect(await p.byteAt(va + 0x800n)).toBe(0x11);
  expect(await p.map(container, { vaddr: va, iova: 0n, size: TCE })).toBe('ENXIO');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
