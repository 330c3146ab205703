/**
 * The DMA memory of one client: DMA_MAP and DMA_UNMAP.
 *
 * Words: an *area* is what one DMA_MAP made: memory of the client process and a mapping of it in the host's IOMMU. Memory with
 * a descriptor is the VMM's own pages; memory without one is reached by messages to the VMM (remote.ts).
 * Rule: a message changes everything or nothing; only whole areas are unmapped, as the protocol has it.
 */
import { decode, encode, fail, ok, type Result } from '@vfiolab/uapi';
import type { GuestMemory, Loan } from './guest-memory.js';
import type { LabDevice } from './lab-device.js';
import type { Message } from './channel.js';
import {
  DMA_READABLE,
  DMA_WRITABLE,
  UNMAP_ALL,
  UNMAP_DIRTY_BITMAP,
  vfio_user_bitmap,
  vfio_user_dma_map,
  vfio_user_dma_unmap,
} from './wire.js';

const PAGE = 4096n;
const END = 1n << 64n;

interface Area {
  readonly iova: bigint;
  readonly size: bigint;
  readonly va: number;
  readonly loan: Loan | undefined;
  /** Number of remote memory. */
  readonly remote: number | undefined;
}

/** A bit for each page, in whole words of 64. */
export const bitmapBytes = (length: bigint, pageSize: bigint): bigint =>
  (((length + pageSize - 1n) / pageSize + 63n) / 64n) * 8n;

export class DmaAreas {
  private readonly areas = new Map<bigint, Area>();
  private readonly byRemote = new Map<number, Area>();

  constructor(
    private readonly device: LabDevice,
    private readonly memory: GuestMemory,
    private readonly most: number,
    /** Pages that the device wrote to, as FeatureCalls.dirty tells them. */
    private readonly dirty: (iova: bigint, length: bigint, pageSize: bigint) => Promise<Result<Uint8Array>>,
  ) {}

  get size(): number {
    return this.areas.size;
  }

  /**
   * EINVAL: no struct, unknown flags or none, not in whole pages, more than one descriptor, or a file that ends before; ENOSPC: too
   * many areas; EEXIST: something is mapped there; else as mmap and IOMMU_IOAS_MAP answer.
   */
  async map({ payload, fds }: Message): Promise<Result<Uint8Array>> {
    if (payload.length < vfio_user_dma_map.size || fds.length > 1) return fail('EINVAL');
    const { argsz, flags, offset, address, size } = decode(vfio_user_dma_map, payload);
    const access = { readable: (flags & DMA_READABLE) !== 0, writable: (flags & DMA_WRITABLE) !== 0 };
    if (argsz < vfio_user_dma_map.size || flags === 0 || (flags & ~(DMA_READABLE | DMA_WRITABLE)) !== 0)
      return fail('EINVAL');
    if (size === 0n || (address | size | offset) % PAGE !== 0n || address + size > END) return fail('EINVAL');
    // Sizes and file offsets of the lab end at 2^52.
    if (size >> 52n !== 0n || offset >> 52n !== 0n) return fail('EFBIG');
    if (this.areas.size >= this.most) return fail('ENOSPC');
    const [fd] = fds;
    const loan = fd === undefined ? undefined : this.memory.lend(fd, Number(offset), Number(size), access.writable);
    if (loan && !loan.ok) return loan;
    const made = await this.make({ iova: address, size, loan: loan?.value, access });
    if (!made.ok && loan) this.memory.takeBack(loan.value);
    return made.ok ? ok(new Uint8Array(0)) : made;
  }

  /** On failure nothing is left but the loan. */
  private async make({
    iova,
    size,
    loan,
    access,
  }: {
    iova: bigint;
    size: bigint;
    loan: Loan | undefined;
    access: { readable: boolean; writable: boolean };
  }): Promise<Result<void>> {
    const { process } = this.device;
    const length = Number(size);
    const file = await process.memfds.create();
    if (!file.ok) return file;
    const filled = loan
      ? await process.memfds.lend(file.value, loan.name)
      : await process.memfds.remote(file.value, length);
    const prot = (access.readable ? 1 : 0) | (access.writable ? 3 : 0);
    const placed = filled.ok ? await process.mapFile(file.value, 0, length, { prot }) : filled;
    await process.close(file.value);
    if (!placed.ok) return placed;
    const mapped = await this.device.map(placed.value, iova, size, access);
    if (!mapped.ok) {
      await process.munmap(placed.value, length);
      return mapped;
    }
    const remote = filled.ok && !loan ? filled.value! : undefined;
    const area = { iova, size, va: placed.value, loan, remote };
    this.areas.set(iova, area);
    if (remote !== undefined) this.byRemote.set(remote, area);
    return ok(undefined);
  }

  /**
   * EINVAL: no struct, or dirty pages are asked for of all areas, in a bitmap that has not the size for them, or while nothing
   * logs them; ENOENT: it is no whole area.
   */
  async unmap({ payload, fds }: Message): Promise<Result<Uint8Array>> {
    if (payload.length < vfio_user_dma_unmap.size || fds.length > 0) return fail('EINVAL');
    const { argsz, flags, address, size } = decode(vfio_user_dma_unmap, payload);
    if (argsz < vfio_user_dma_unmap.size) return fail('EINVAL');
    if ((flags & ~(UNMAP_ALL | UNMAP_DIRTY_BITMAP)) !== 0) return fail('EINVAL');
    const all = (flags & UNMAP_ALL) !== 0;
    const asks = (flags & UNMAP_DIRTY_BITMAP) !== 0;
    if (all && (asks || address !== 0n || size !== 0n)) return fail('EINVAL');
    const area = this.areas.get(address);
    if (!all && area?.size !== size) return fail('ENOENT');
    if (asks) return this.unmapAndTell(area!, payload);
    for (const each of all ? [...this.areas.values()] : [area!]) {
      const gone = await this.drop(each);
      if (!gone.ok) return gone;
    }
    const echo = { argsz: vfio_user_dma_unmap.size, flags, address, size };
    return ok(encode(vfio_user_dma_unmap, echo));
  }

  /**
   * The log is asked twice: before, so that nothing is unmapped when there is no answer, and after the last DMA has ended. It
   * forgets what it told, so everything else has been looked at by then.
   */
  private async unmapAndTell(area: Area, payload: Uint8Array): Promise<Result<Uint8Array>> {
    const [head, bits] = [vfio_user_dma_unmap.size, vfio_user_dma_unmap.size + vfio_user_bitmap.size];
    if (payload.length < bits) return fail('EINVAL');
    const { pgsize, size } = decode(vfio_user_bitmap, payload.subarray(head));
    const { argsz } = decode(vfio_user_dma_unmap, payload);
    if (pgsize === 0n || size !== bitmapBytes(area.size, pgsize)) return fail('EINVAL');
    if (BigInt(argsz) < BigInt(bits) + size) return fail('EINVAL');
    const dirty = await this.dirty(area.iova, area.size, pgsize);
    if (!dirty.ok) return dirty;
    const map = dirty.value;
    const gone = await this.drop(area);
    if (!gone.ok) return gone;
    const late = await this.dirty(area.iova, area.size, pgsize);
    if (late.ok) late.value.forEach((byte, i) => (map[i]! |= byte));
    const reply = new Uint8Array(bits + map.length);
    reply.set(payload.subarray(0, bits));
    reply.set(encode(vfio_user_dma_unmap, { ...decode(vfio_user_dma_unmap, payload), argsz: reply.length }));
    reply.set(map, bits);
    return ok(reply);
  }

  private async drop(area: Area): Promise<Result<void>> {
    const unmapped = await this.device.unmap(area.iova, area.size);
    if (!unmapped.ok) return unmapped;
    const freed = await this.device.process.munmap(area.va, Number(area.size));
    if (!freed.ok) return freed;
    this.areas.delete(area.iova);
    if (area.remote !== undefined) this.byRemote.delete(area.remote);
    if (area.loan) this.memory.takeBack(area.loan);
    return ok(undefined);
  }

  /** The VMM's address of a byte of remote memory; undefined: it is unmapped. */
  addressOf(remote: number, offset: number): bigint | undefined {
    const area = this.byRemote.get(remote);
    return area && area.iova + BigInt(offset);
  }

  /** The client process has ended, so the lab has let go of everything. */
  processEnded(): void {
    for (const { loan } of this.areas.values()) if (loan) this.memory.takeBack(loan);
    this.areas.clear();
    this.byRemote.clear();
  }
}
