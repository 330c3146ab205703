/** Drivers inside the kernel that pin and copy their user's memory: through containers, and through iommufds. */
import {
  type Errno,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  VFIO_IOMMU_DIRTY_PAGES,
  vfio_iommu_type1_dirty_bitmap_get,
  encode,
  VFIO_DEVICE_RESET,
} from '@vfiolab/uapi';
import {
  ContainerLab,
  type ContainerLabOptions,
  ENGINE,
  IOVA,
  NOTHING,
  PAGE,
  TYPE1,
  TYPE1_V2,
  type VfioProgram,
} from './support/container-lab.js';
import { addFile, vmWithVfio } from './support/kvm.js';
import { MEMORY_CARD, MemoryCardOf } from './support/memory-card.js';
import { attach, bind, create, openGroup, remove, TYPES, UUID } from './support/mdev.js';

const P = BigInt(PAGE);

async function lab(options: ContainerLabOptions = {}) {
  const l = await ContainerLab.boot({ memoryCards: true, ...options });
  const p = await l.program('vmm');
  expect(await create(p, MEMORY_CARD)).toBe(36);
  return { l, p };
}

/** A card open in a container of type1 that has 4 pages of the program mapped. */
async function inContainer({
  type = TYPE1_V2,
  prot = 3,
  ...options
}: ContainerLabOptions & { type?: number; prot?: number } = {}) {
  const { l, p } = await lab(options);
  const [container, group] = [await p.container(), await openGroup(p)];
  expect([await p.setContainer(group, container), await p.setIommu(container, type)]).toEqual([0, 0]);
  const va = await p.memory(4 * PAGE, 7);
  expect(await p.map(container, { vaddr: va, iova: IOVA, size: 4n * P, flags: prot })).toBeUndefined();
  const card = new MemoryCardOf(p, (await p.device(group, UUID)) as number);
  return { l, p, container, group, va, card };
}

const finish = async (l: ContainerLab, p: VfioProgram) => expect(await l.afterwards(p)).toEqual(NOTHING);

/** Dirty bits of the 4 pages, or the errno. */
async function dirty(p: VfioProgram, container: number): Promise<number | Errno> {
  const bits = await p.memory(PAGE);
  const range = encode(vfio_iommu_type1_dirty_bitmap_get, {
    iova: IOVA,
    size: 4n * P,
    bitmap: { pgsize: P, size: 8n, data: bits },
  });
  const { errno } = await p.ioctl(
    container,
    VFIO_IOMMU_DIRTY_PAGES,
    { argsz: 8 + range.length, flags: 4 },
    { tail: range },
  );
  return errno ?? p.byteAt(bits);
}
const tracking = async (p: VfioProgram, container: number, flags: number) =>
  (await p.ioctl(container, VFIO_IOMMU_DIRTY_PAGES, { argsz: 8, flags })).errno;

it('A5.3: pins through a container: charged page by page, counted, and given back', async () => {
  const { l, p, card } = await inContainer();
  expect([await card.pin(IOVA, 3), await p.lockedKb(), await card.tell('pinned')]).toEqual([3, 12, 3]);
  // Once more: the page is counted, not charged.
  expect([await card.pin(IOVA + 2n * P + 5n, 2), await p.lockedKb()]).toEqual([2, 16]);
  expect([await card.unpin(IOVA, 3), await p.lockedKb()]).toEqual([3, 8]);
  expect([await card.unpin(IOVA, 3), await card.unpin(IOVA + 2n * P, 2), await p.lockedKb()]).toEqual(['EINVAL', 2, 0]);
  expect(l.broken()).toEqual([]);
  await finish(l, p);
});

it('A5.3: what is refused has pinned nothing', async () => {
  const { l, p, card, container } = await inContainer({ prot: 1 });
  expect(await p.map(container, { vaddr: 0x1000n, iova: 2n * IOVA, size: P })).toBeUndefined();
  expect([await card.pin(IOVA, 0, 1), await card.pin(IOVA, 513, 1), await card.pin(IOVA, 5, 1)]).toEqual([
    'EINVAL',
    'E2BIG',
    'EINVAL',
  ]);
  expect([await card.pin(IOVA, 1, 3), await card.pin(2n * IOVA, 1, 1), await card.other(9)]).toEqual([
    'EPERM',
    'EFAULT',
    'EINVAL',
  ]);
  expect([await p.lockedKb(), await card.tell('pinned'), l.broken()]).toEqual([0, 0, []]);
  // Pages that were pinned before stay so when a later request fails.
  expect([await card.pin(IOVA, 2, 1), await card.pin(IOVA + P, 4, 1), await p.lockedKb()]).toEqual([2, 'EINVAL', 8]);
  await finish(l, p);
});

it('A5.3: a card keeps 256 pins of at most 1024 pages', async () => {
  const { l, p, card } = await inContainer();
  for (let n = 0; n < 256; n++) expect(await card.pin(IOVA, 1)).toBe(1);
  expect([await card.pin(IOVA, 1), await card.tell('pinned'), await p.lockedKb()]).toEqual(['EINVAL', 256, 4]);
  expect([await card.unpin(IOVA, 1), await card.pin(IOVA, 1024), await card.pin(IOVA, 1025)]).toEqual([
    1,
    'E2BIG',
    'EINVAL',
  ]);
  await finish(l, p);
});

it('A5.3: EACCES: v1 does not pin; it copies', async () => {
  const { l, p, card } = await inContainer({ type: TYPE1 });
  expect([await card.pin(IOVA, 1), await card.read(IOVA, 2)]).toEqual(['EACCES', [7, 7]]);
  await finish(l, p);
});

it('A5.3: ENOMEM at the limit of locked memory', async () => {
  const { l, p: root } = await lab();
  const p = await l.program('user', { uid: 0, caps: 0x2, memlock: 2 * PAGE });
  const [c, g] = [await p.container(), await openGroup(p)];
  await p.setContainer(g, c);
  await p.setIommu(c, TYPE1_V2);
  await p.map(c, { vaddr: await p.memory(4 * PAGE), iova: IOVA, size: 4n * P });
  const card = new MemoryCardOf(p, (await p.device(g, UUID)) as number);
  expect([await card.pin(IOVA, 3), await card.pin(IOVA, 2), await card.pin(IOVA + 2n * P, 1)]).toEqual([
    'ENOMEM',
    2,
    'ENOMEM',
  ]);
  expect([await p.lockedKb(), l.broken()]).toEqual([8, []]);
  expect(await l.afterwards(p, root)).toEqual(NOTHING);
});

it('A5.3: an unmap tells the driver, which lets go; then the mapping goes', async () => {
  const { l, p, card, container } = await inContainer();
  await p.map(container, { vaddr: await p.memory(PAGE), iova: 4n * IOVA, size: P });
  await card.pin(IOVA + P, 2);
  await card.pin(4n * IOVA, 1);
  expect([await card.tell('unmaps'), await p.lockedKb()]).toEqual([0, 12]);
  expect(await p.unmap(container, { iova: IOVA, size: 4n * P })).toBe(4n * P);
  expect([await card.tell('unmaps'), await card.tell('pinned'), await p.lockedKb(), l.broken()]).toEqual([1, 1, 4, []]);
  expect([await card.pin(IOVA, 1), await card.read(IOVA, 1)]).toEqual(['EINVAL', 'EINVAL']);
  // One that nobody has pinned goes without a word.
  await p.map(container, { vaddr: await p.memory(PAGE), iova: IOVA, size: P });
  expect([await p.unmap(container, { iova: IOVA, size: P }), await card.tell('unmaps')]).toEqual([P, 1]);
  expect([await p.unmap(container, { flags: 2, iova: 0n, size: 0n }), await card.tell('unmaps')]).toEqual([P, 2]);
  await finish(l, p);
});

it('A5.3: a range that cuts a mapping tells nobody', async () => {
  const { l, p, card, container } = await inContainer();
  await card.pin(IOVA, 1);
  expect([await p.unmap(container, { iova: IOVA, size: P }), await card.tell('unmaps')]).toEqual(['EINVAL', 0]);
  await finish(l, p);
});

it('A5.3: copies go by the permissions of the mapping and the memory of the caller', async () => {
  const { l, p, card, container, va } = await inContainer();
  const next = await p.memory(PAGE, 9);
  expect(await p.map(container, { vaddr: next, iova: IOVA + 4n * P, size: P, flags: 1 })).toBeUndefined();
  expect(await p.map(container, { vaddr: va, iova: IOVA + 8n * P, size: P, flags: 2 })).toBeUndefined();
  const end = IOVA + 4n * P;
  expect([await card.write(IOVA + 1n, 1, 2, 3), await card.read(end - 2n, 4)]).toEqual([3, [7, 7, 9, 9]]);
  expect([...(await p.must(p.process.read(Number(va), 5)))]).toEqual([7, 1, 2, 3, 7]);
  // What was copied before the error stays.
  expect([await card.write(end - 1n, 5, 5), await p.byteAt(va + 4n * P - 1n), await p.byteAt(next)]).toEqual([
    'EPERM',
    5,
    9,
  ]);
  expect([await card.write(IOVA + 8n * P, 1), await card.read(IOVA + 8n * P, 1), await card.read(0n, 1)]).toEqual([
    'EPERM',
    'EPERM',
    'EINVAL',
  ]);
  expect([await card.read(IOVA, 0), await p.lockedKb()]).toEqual(['EINVAL', 0]);
  const child = await l.program('child');
  await p.must(p.process.fork(child.process));
  const other = new MemoryCardOf(child, card.fd);
  // Pins are of the process that mapped, whoever asks; copies are of the one that asks.
  expect([await other.read(IOVA, 1), await other.pin(IOVA, 1), await p.lockedKb()]).toEqual(['EFAULT', 1, 4]);
  expect(await l.afterwards(child, p)).toEqual(NOTHING);
});

it('A5.3: dirty pages follow pins and writes, and start anew with each report', async () => {
  const { l, p, card, container } = await inContainer();
  await card.pin(IOVA, 1);
  expect([await dirty(p, container), await tracking(p, container, 1), await dirty(p, container)]).toEqual([
    'EINVAL',
    undefined,
    1,
  ]);
  await card.pin(IOVA + P, 1);
  await card.unpin(IOVA + P, 1);
  await card.write(IOVA + 3n * P - 1n, 1, 1);
  await card.read(IOVA, 4);
  expect([await dirty(p, container), await dirty(p, container)]).toEqual([0b1111, 1]);
  // Pinned again: it is dirty already, as long as it stays pinned.
  expect([
    await card.pin(IOVA, 1),
    await card.unpin(IOVA, 1),
    await dirty(p, container),
    await card.unpin(IOVA, 1),
  ]).toEqual([1, 1, 1, 1]);
  expect([await dirty(p, container), await dirty(p, container)]).toEqual([1, 0]);
  await card.write(IOVA, 1);
  expect([await tracking(p, container, 2), await tracking(p, container, 1), await dirty(p, container)]).toEqual([
    undefined,
    undefined,
    0,
  ]);
  await finish(l, p);
});

it('A5.3: with a PCI device beside it all that is mapped is pinned and dirty; its own pins outlast it', async () => {
  const { l, p, card, container } = await inContainer();
  await card.pin(IOVA, 1);
  const engines = await p.group(ENGINE);
  expect([await p.lockedKb(), await p.setContainer(engines, container), await p.lockedKb()]).toEqual([4, 0, 16]);
  await tracking(p, container, 1);
  expect([await dirty(p, container), await card.pin(IOVA + P, 1), await p.lockedKb()]).toEqual([0b1111, 1, 16]);
  expect([await p.unsetContainer(engines), await p.lockedKb(), await dirty(p, container), l.broken()]).toEqual([
    0,
    8,
    3,
    [],
  ]);
  await p.close(card.fd);
  expect([await p.lockedKb(), l.broken()]).toEqual([0, []]);
  await finish(l, p);
});

async function ioasWith(p: VfioProgram, iommufd: number, va: bigint, flags = 7): Promise<number> {
  const { out } = await p.ioctl(iommufd, IOMMU_IOAS_ALLOC);
  const { errno } = await p.ioctl(iommufd, IOMMU_IOAS_MAP, {
    flags,
    ioas_id: out.out_ioas_id,
    user_va: va,
    length: 4n * P,
    iova: IOVA,
  });
  if (errno) throw new Error(`IOAS_MAP: ${errno}`);
  return out.out_ioas_id;
}

it('31: the same through an iommufd: an access of the IOAS that it is attached to', async () => {
  const { l, p } = await lab();
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const va = await p.memory(4 * PAGE, 7);
  const ioas = await ioasWith(p, iommufd, va);
  const { fd } = await bind(p, iommufd);
  const card = new MemoryCardOf(p, fd);
  expect([await card.pin(IOVA, 1), await card.read(IOVA, 1)]).toEqual(['ENOENT', 'ENOENT']);
  expect(await attach(p, fd, ioas)).toBe(ioas);
  const pinned = async () => (await p.must(p.process.status())).vmPinnedKb;
  expect([await card.pin(IOVA + 5n, 2), await card.pin(IOVA, 5), await pinned()]).toEqual([2, 'ENOENT', 8]);
  expect([await card.write(IOVA, 1), await card.read(IOVA, 2), await card.read(0n, 1)]).toEqual([1, [1, 7], 'ENOENT']);
  const unmap = async () =>
    (await p.ioctl(iommufd, IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova: IOVA, length: 4n * P })).errno;
  expect([await unmap(), await card.tell('unmaps'), await card.tell('pinned'), await pinned()]).toEqual([
    undefined,
    1,
    0,
    0,
  ]);
  expect(l.broken()).toEqual([]);
  // Detached, and moved: the driver is told of everything.
  const second = await ioasWith(p, iommufd, va, 3);
  expect(await attach(p, fd, second)).toBe(second);
  expect([await card.pin(IOVA, 1, 1), await card.pin(IOVA, 4, 3), await card.read(IOVA, 1)]).toEqual([
    'EPERM',
    4,
    'EPERM',
  ]);
  expect((await p.ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, { argsz: 8 })).errno).toBeUndefined();
  expect([await card.tell('pinned'), await pinned(), l.broken()]).toEqual([0, 0, []]);
  await attach(p, fd, second);
  await card.pin(IOVA, 2);
  expect((await p.ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { argsz: 12, pt_id: ioas })).errno).toBeUndefined();
  expect([await card.tell('pinned'), await card.tell('unmaps'), await pinned()]).toEqual([0, 3, 0]);
  await finish(l, p);
});

it('31: through a group whose container is an iommufd', async () => {
  const { l, p, card, container } = await inContainer({ machine: 'B-compat' });
  expect([await card.pin(IOVA, 4), await card.read(IOVA, 1)]).toEqual([4, [7]]);
  expect([await p.unmap(container, { iova: IOVA, size: 4n * P }), await card.tell('unmaps')]).toEqual([4n * P, 1]);
  expect([await card.tell('pinned'), l.broken()]).toEqual([0, []]);
  await finish(l, p);
});

it('A5.3: the last close unpins; a killed program leaves nothing', async () => {
  const { l, p, card, group } = await inContainer();
  await card.pin(IOVA, 4);
  await p.close(card.fd);
  expect([await p.lockedKb(), l.broken()]).toEqual([0, []]);
  const again = new MemoryCardOf(p, (await p.device(group, UUID)) as number);
  expect([await again.tell('pinned'), await again.pin(IOVA, 4), l.broken()]).toEqual([0, 4, []]);
  await finish(l, p);
});

it('A5.2: a driver that needs the VM gets it with the open', async () => {
  const { l, p, card, group } = await inContainer({ kvm: 'files' });
  const { vfio } = await vmWithVfio(p);
  expect([await addFile(p, vfio, group), await card.tell('vm')]).toEqual([undefined, 0]);
  await p.close(card.fd);
  const again = new MemoryCardOf(p, (await p.device(group, UUID)) as number);
  expect(await again.tell('vm')).toBe(1);
  await finish(l, p);
});

it('47: memory cards are there where they were asked for; what else their files answer', async () => {
  const { l, p } = await lab();
  const type = `${TYPES}/${MEMORY_CARD}`;
  expect(await p.must(p.process.sysfsRead(`${type}/available_instances`))).toBe('23\n');
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const { fd } = await bind(p, iommufd);
  const at = async (offset: number, length: number) => {
    const read = await p.run(p.process.pread(fd, offset, length));
    return read.ok ? read.value.length : read.errno;
  };
  expect([await at(0, 8), await at(0x38, 8), await at(0x1ffc, 4)]).toEqual([8, 8, 4]);
  for (const [offset, length] of [
    [0, 4],
    [4, 8],
    [0x40, 8],
    [0x1ffc, 8],
    [7 * 2 ** 40, 4],
  ] as const)
    expect(await at(offset, length)).toBe('EFAULT');
  expect((await p.run(p.process.pwrite(fd, 1, Uint8Array.of(1)))).ok).toBe(false);
  expect((await p.run(p.process.ioctlAt(fd, VFIO_DEVICE_RESET.nr, 0, []))).errno).toBe('ENOTTY');
  await p.close(fd);
  expect(await remove(p)).toBe(1);
  await finish(l, p);
  const without = await (await ContainerLab.boot()).program('vmm');
  expect(await without.must(without.process.listdir(TYPES))).toEqual(['mtty-1', 'mtty-2']);
});
