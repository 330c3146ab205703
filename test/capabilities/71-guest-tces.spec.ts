/** TCEs that a guest writes by hypercalls go straight into the window of its group's container. */
import {
  H_PARAMETER,
  H_SUCCESS,
  H_TOO_HARD,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
} from '@vfiolab/uapi';
import { CONTAINER, GROUPS } from '@vfiolab/core';
import { NOTHING, type VfioProgram } from './support/container-lab.js';
import {
  addFile,
  deleteFile,
  guestMemory,
  putTce,
  setSpaprTce,
  tceTable,
  vfioDevice,
  vmWithVfio,
} from './support/kvm.js';
import {
  ALONE,
  createWindow,
  KERNEL_PAGE,
  OTHER,
  powerLab,
  registeredMemory,
  removeWindow,
  TCE,
  V1,
  V2,
} from './support/power-lab.js';

const LIOBN = 0x8000_0001n;
const RW = 3n;
/** Guest memory begins here. */
const GUEST = 0x1000_0000n;
const SHIFT = 12;
const DEFAULT_PAGES = 0x8000_0000n >> 12n;
const FILL = 0x5a;

/** A VM whose group is in a container of v2 with registered memory and its default window, linked to the guest's table. */
async function guest(pages = 2) {
  const lab = await powerLab('P-powernv9', { kvm: 'files' });
  const p = await lab.program('vmm');
  const { vm, vfio } = await vmWithVfio(p);
  const { container, groups } = await p.ready([ALONE], V2);
  const va = await registeredMemory(p, container, pages, FILL);
  // The default window is made when it is first used.
  expect(await p.unmap(container, { iova: 0n, size: TCE })).toBe(TCE);
  expect(await guestMemory(p, vm, 0, GUEST, va, pages * KERNEL_PAGE)).toBeUndefined();
  const table = (await tceTable(p, vm, LIOBN, SHIFT, DEFAULT_PAGES)) as number;
  expect(await addFile(p, vfio, groups[0]!)).toBeUndefined();
  return { lab, p, vm, vfio, container, group: groups[0]!, va, table };
}

const unregister = async (p: VfioProgram, container: number, va: bigint, pages = 2) =>
  (await p.ioctl(container, VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, { vaddr: va, size: BigInt(pages * KERNEL_PAGE) }))
    .errno;

/** Pieces of TCEs in the container's one window. */
const tces = ({ lab }: Awaited<ReturnType<typeof guest>>): number => {
  const { held, registrations } = lab.host.figures(CONTAINER);
  return held! - registrations! - 1;
};

it('71: after SET_SPAPR_TCE a device does DMA where the guest says, and the container heard of no ioctl', async () => {
  const g = await guest();
  const { lab, p, vm } = g;
  expect(await setSpaprTce(p, g.vfio, g.group, g.table)).toBeUndefined();
  const engine = await p.engine(g.group, ALONE);
  const vcpu = async (ioba: bigint, tce: bigint) => putTce(p, vm, LIOBN, ioba, tce);
  expect(await vcpu(0n, GUEST | RW)).toBe(H_SUCCESS);
  expect(await vcpu(TCE, (GUEST + 5n * TCE) | RW)).toBe(H_SUCCESS);
  await p.must(p.process.write(Number(g.va), Uint8Array.of(1, 2, 3, 4)));
  await p.copy(engine, 0n, TCE + 8n, 4);
  expect([...(await p.must(p.process.read(Number(g.va + 5n * TCE + 8n), 4)))]).toEqual([1, 2, 3, 4]);
  expect(await lab.heardFrom(GROUPS, () => vcpu(2n * TCE, GUEST | RW))).toContain(CONTAINER);
  // Cleared: the device cannot reach it any more.
  expect([await vcpu(TCE, 0n), await vcpu(TCE, 0n)]).toEqual([H_SUCCESS, H_SUCCESS]);
  await p.must(p.process.write(Number(g.va), Uint8Array.of(9)));
  await p.copy(engine, 0n, TCE + 8n, 1);
  expect(await p.byteAt(g.va + 5n * TCE + 8n)).toBe(1);
  // VFIO's own unmap clears it like what it mapped itself.
  expect(tces(g)).toBe(2);
  expect([await p.unmap(g.container, { iova: 0n, size: 3n * TCE }), tces(g)]).toEqual([3n * TCE, 0]);
  expect(lab.broken()).toEqual([]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it.each([
  ['may only be read', 1n, FILL],
  ['may be written', 2n, 7],
] as const)('71: memory behind a TCE %s', async (_what, bits, seen) => {
  const g = await guest();
  const { p } = g;
  await setSpaprTce(p, g.vfio, g.group, g.table);
  const engine = await p.engine(g.group, ALONE);
  expect(await putTce(p, g.vm, LIOBN, 0n, GUEST | bits)).toBe(H_SUCCESS);
  expect(await putTce(p, g.vm, LIOBN, TCE, (GUEST + TCE) | RW)).toBe(H_SUCCESS);
  await p.must(p.process.write(Number(g.va + TCE), Uint8Array.of(7)));
  await p.copy(engine, TCE, 0n, 1);
  expect(await p.byteAt(g.va)).toBe(seen);
  expect(await g.lab.afterwards(p)).toEqual(NOTHING);
});

it('71: hypercalls that the kernel refuses, or leaves to the program', async () => {
  const g = await guest();
  const { p, vm } = g;
  await setSpaprTce(p, g.vfio, g.group, g.table);
  const put = (ioba: bigint, tce: bigint, liobn = LIOBN) => putTce(p, vm, liobn, ioba, tce);
  expect(await put(0n, GUEST | RW, 5n)).toBe(H_TOO_HARD);
  expect([await put(1n, GUEST | RW), await put(DEFAULT_PAGES << 12n, GUEST | RW)]).toEqual([H_PARAMETER, H_PARAMETER]);
  expect([await put(0n, GUEST | 4n | RW), await put(0n, RW)]).toEqual([H_TOO_HARD, H_TOO_HARD]);
  // Memory of the guest that is not registered.
  const other = await p.memory(KERNEL_PAGE, 1);
  await guestMemory(p, vm, 1, 0n, other, KERNEL_PAGE);
  expect([await put(0n, RW), await put(0n, GUEST | RW)]).toEqual([H_TOO_HARD, H_SUCCESS]);
  // What was there stays: it is judged before it is written.
  expect([await put(0n, RW), tces(g)]).toEqual([H_TOO_HARD, 1]);
  expect(g.lab.broken()).toEqual([]);
  expect(await g.lab.afterwards(p)).toEqual(NOTHING);
});

it('71: the table must begin where the window begins, be no longer, and have no smaller pages', async () => {
  const g = await guest();
  const { p, vm, vfio, group } = g;
  const table = async (liobn: bigint, ...shape: [number, bigint, bigint?]) =>
    (await tceTable(p, vm, liobn, ...shape)) as number;
  const offset = await table(2n, 12, 16n, 1n);
  const longer = await table(3n, 12, DEFAULT_PAGES + 1n);
  const shorter = await table(4n, 16, 1n);
  const [small, smallTable] = [
    await createWindow(p, g.container, 16, 0x1000_0000n),
    await table(5n, 12, 16n, 1n << 47n),
  ];
  const fitting = await table(6n, 16, 16n, 1n << 43n);
  expect(small).toBe(1n << 59n);
  for (const each of [offset, longer, smallTable]) expect(await setSpaprTce(p, vfio, group, each)).toBe('EINVAL');
  for (const each of [shorter, fitting]) expect(await setSpaprTce(p, vfio, group, each)).toBeUndefined();
  // One page of the table is sixteen of the window; all of them or none.
  expect(await putTce(p, vm, 4n, 0n, GUEST | RW)).toBe(H_SUCCESS);
  const engine = await p.engine(group, ALONE);
  await p.must(p.process.write(Number(g.va + 15n * TCE), Uint8Array.of(4, 2)));
  await p.copy(engine, 15n * TCE, 0n, 2);
  expect([await p.byteAt(g.va), await p.byteAt(g.va + 1n)]).toEqual([4, 2]);
  expect(await putTce(p, vm, 4n, 0n, 0n)).toBe(H_SUCCESS);
  expect(await putTce(p, vm, 6n, 1n << 59n, (GUEST + 65536n) | RW)).toBe(H_SUCCESS);
  expect([await removeWindow(p, g.container, 1n << 59n), await unregister(p, g.container, g.va)]).toEqual([
    undefined,
    undefined,
  ]);
  // The window is gone: nothing is written any more.
  expect([await putTce(p, vm, 6n, 1n << 59n, GUEST | RW), g.lab.broken()]).toEqual([H_SUCCESS, []]);
  expect(await g.lab.afterwards(p)).toEqual(NOTHING);
});

it('71: what SET_SPAPR_TCE refuses', async () => {
  const g = await guest();
  const { p, vm, vfio, group, table } = g;
  expect(await setSpaprTce(p, vfio, 99, table)).toBe('EBADF');
  const other = await p.group(OTHER);
  expect([await setSpaprTce(p, vfio, other, table), await setSpaprTce(p, vfio, vm, table)]).toEqual([
    'ENOENT',
    'ENOENT',
  ]);
  expect([await setSpaprTce(p, vfio, group, 99), await setSpaprTce(p, vfio, group, vm)]).toEqual(['EBADF', 'EINVAL']);
  // A group in no container has no window.
  await addFile(p, vfio, other);
  expect(await setSpaprTce(p, vfio, other, table)).toBe('EINVAL');
  // A table of another VM.
  const second = await vmWithVfio(p);
  expect(await setSpaprTce(p, second.vfio, group, table)).toBe('ENOENT');
  await addFile(p, second.vfio, group);
  expect(await setSpaprTce(p, second.vfio, group, table)).toBe('EINVAL');
  expect(await g.lab.afterwards(p)).toEqual(NOTHING);
});

it('71: a file of a device has no group: EIO', async () => {
  const g = await guest();
  const { p } = g;
  const device = (await p.device(g.group, ALONE)) as number;
  await addFile(p, g.vfio, device);
  expect(await setSpaprTce(p, g.vfio, device, g.table)).toBe('EIO');
  await p.close(device);
  expect(await g.lab.afterwards(p)).toEqual(NOTHING);
});

it('71: a deleted group is not written any more; what the guest has put stays until the window goes', async () => {
  const g = await guest();
  const { p, vm, vfio } = g;
  await setSpaprTce(p, vfio, g.group, g.table);
  expect(await putTce(p, vm, LIOBN, 0n, GUEST | RW)).toBe(H_SUCCESS);
  expect(await deleteFile(p, vfio, g.group)).toBeUndefined();
  expect([await putTce(p, vm, LIOBN, 0n, 0n), tces(g)]).toEqual([H_SUCCESS, 1]);
  expect([await removeWindow(p, g.container, 0n), await unregister(p, g.container, g.va)]).toEqual([
    undefined,
    undefined,
  ]);
  await p.close(g.table);
  expect([await putTce(p, vm, LIOBN, 0n, 0n), g.lab.broken()]).toEqual([H_TOO_HARD, []]);
  expect(await g.lab.afterwards(p)).toEqual(NOTHING);
});

it('71: a backend of v1 has no registered memory: the hypercall is left to the program', async () => {
  const lab = await powerLab('P-powernv9', { kvm: 'files' });
  const p = await lab.program('vmm');
  const { vm, vfio } = await vmWithVfio(p);
  const { container, groups } = await p.ready([ALONE], V1);
  const va = await p.memory(KERNEL_PAGE);
  expect(await p.plain(container, VFIO_IOMMU_ENABLE)).toBe(0);
  expect(await p.unmap(container, { iova: 0n, size: TCE })).toBe(TCE);
  await guestMemory(p, vm, 0, GUEST, va, KERNEL_PAGE);
  const table = (await tceTable(p, vm, LIOBN, SHIFT, DEFAULT_PAGES)) as number;
  await addFile(p, vfio, groups[0]!);
  expect(await setSpaprTce(p, vfio, groups[0]!, table)).toBeUndefined();
  expect([await putTce(p, vm, LIOBN, 0n, GUEST | RW), await putTce(p, vm, LIOBN, 0n, 0n)]).toEqual([
    H_TOO_HARD,
    H_SUCCESS,
  ]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('71: tables of TCEs: what is refused, and what is charged', async () => {
  const lab = await powerLab('P-powernv9', { kvm: 'files' });
  const p = await lab.program('vmm');
  const { vm } = await vmWithVfio(p);
  const table = (...shape: [number, bigint, bigint?]) => tceTable(p, vm, LIOBN, ...shape);
  for (const [shift, size] of [
    [11, 1n],
    [35, 1n],
    [12, 0n],
    [12, 1n << 52n],
  ] as const)
    expect(await table(shift, size)).toBe('EINVAL');
  expect(await table(12, 1n << 36n)).toBe('ENOMEM');
  expect(await p.lockedKb()).toBe(0);
  const first = (await table(12, 0x4000n)) as number;
  // Two pages of 64 KiB of TCEs, and one for the list of them.
  expect([await p.lockedKb(), await table(12, 1n)]).toEqual([3 * 64, 'EBUSY']);
  await p.close(first);
  expect([await p.lockedKb(), await vfioDevice(p, vm)]).toEqual([0, 'EBUSY']);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
