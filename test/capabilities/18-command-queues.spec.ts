import {
  IOMMU_DESTROY,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV,
  IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV,
} from '@vfiolab/uapi';
import { bytesOf, PAGE, text } from './support/iommu-host.js';
import { ASID, at, CONFIG_ALL, commandFor, IPA, ONE_PAGE, PAGE_RW, SmmuGuest, VA } from './support/smmu-guest.js';

const [CONS, PROD, CONFIG, STATUS, GERROR, GERRORN] = [0x00, 0x04, 0x08, 0x0c, 0x10, 0x14];
const SYNC = 0x46n;
const QUEUE_PAGE = 10;
/** Four commands: the fifth is where the first was. */
const COMMANDS = 4;
const BYTES = COMMANDS * 16;

/** A guest with the registers of its command queues mapped. */
class QueueGuest {
  private prod = 0;

  private constructor(
    readonly g: SmmuGuest,
    readonly window: number,
  ) {}

  static async boot(): Promise<QueueGuest> {
    const data_uptr = new Uint8Array(16);
    const viommu = { type: IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV, data_len: 16, data_uptr };
    const g = await (await SmmuGuest.boot('arm-smmu-v3-cmdqv', viommu)).attached();
    const [offset, length] = new BigUint64Array(data_uptr.buffer);
    return new QueueGuest(g, await g.t.must(g.t.p.mapFile(g.t.fd, Number(offset), Number(length))));
  }

  async queue(index = 0, iova = at(QUEUE_PAGE)): Promise<number> {
    const type = IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV;
    const queue = { viommu_id: this.g.viommu, type, index, nesting_parent_iova: iova, length: BigInt(BYTES) };
    return (await this.g.t.sure(IOMMU_HW_QUEUE_ALLOC, queue)).out_hw_queue_id;
  }

  async read(register: number): Promise<number> {
    const bytes = await this.g.t.must(this.g.t.p.load(this.window + register, 4));
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  }

  async write(register: number, value: number): Promise<void> {
    await this.g.t.must(this.g.t.p.store(this.window + register, 4, bytesOf(BigInt(value)).slice(0, 4)));
  }

  /** Puts a command into the queue: only memory is written. */
  async put(low: bigint, high = 0n): Promise<void> {
    await this.g.t.poke(this.g.page(QUEUE_PAGE) + (this.prod % COMMANDS) * 16, [low, high]);
    this.prod = (this.prod + 1) % (2 * COMMANDS);
  }

  /** Tells the hardware where the queue ends now. */
  ring(): Promise<void> {
    return this.write(PROD, this.prod);
  }

  /** The page behind VA: the table's entry is changed, and nothing else. */
  move(page: number): Promise<void> {
    return this.g.t.poke(this.g.page(3), [at(page) | PAGE_RW]);
  }
}

async function withPages(): Promise<QueueGuest> {
  const q = await QueueGuest.boot();
  await q.g.t.poke(q.g.page(4), text('before'));
  await q.g.t.poke(q.g.page(8), text('after!'));
  return q;
}

describe('18: invalidation without the kernel', () => {
  it('a command in the mapped queue drops the IOTLB entry, and no ioctl is made', async () => {
    const q = await withPages();
    await q.queue();
    await q.write(CONFIG, 1);
    expect(await q.read(STATUS)).toBe(1);
    let page = 4;
    // Twice around the queue, so that the counters wrap.
    for (let n = 1; n <= 8; n++) {
      const [is, next] = page === 4 ? ['before', 8] : ['after!', 4];
      expect(await q.g.copied()).toBe(is);
      await q.move(next);
      expect(await q.g.copied()).toBe(is);
      await q.put(commandFor(ONE_PAGE, ASID), VA);
      expect(await q.g.copied()).toBe(is);
      await q.ring();
      expect(await q.read(CONS)).toBe(n % (2 * COMMANDS));
      page = next;
    }
    expect(await q.g.copied()).toBe('before');
    expect(await q.g.t.faults(q.g.device)).toEqual([]);
    expect(q.g.t.broken()).toEqual([]);
  });

  it('a queue that is not enabled waits, and takes its commands when it is', async () => {
    const q = await withPages();
    await q.queue();
    expect(await q.g.copied()).toBe('before');
    await q.move(8);
    await q.put(commandFor(ONE_PAGE, ASID), VA);
    await q.put(SYNC);
    await q.ring();
    expect([await q.read(CONS), await q.g.copied()]).toEqual([0, 'before']);
    await q.write(CONFIG, 1);
    expect([await q.read(CONS), await q.g.copied()]).toEqual([2, 'after!']);
  });

  it('a command that no guest may put there stops the queue; the guest hears of it, mends it and goes on', async () => {
    const q = await withPages();
    await q.queue();
    const queue = { viommu_id: q.g.viommu, type: IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV, veventq_depth: 4 };
    const { out_veventq_fd: events } = await q.g.t.sure(IOMMU_VEVENTQ_ALLOC, queue);
    await q.write(CONFIG, 1);
    expect(await q.g.copied()).toBe('before');
    await q.move(8);
    await q.put(SYNC);
    await q.put(CONFIG_ALL);
    await q.put(commandFor(ONE_PAGE, ASID), VA);
    await q.ring();
    expect(await q.read(CONS)).toBe(1 | (1 << 24));
    expect(await q.read(GERROR)).toBe(1);
    expect(await q.g.copied()).toBe('before');
    expect([...(await q.g.t.must(q.g.t.p.readFile(events, 64)))]).toEqual([...bytesOf(0n, 1n, 0n)]);
    // Ringing again changes nothing, and tells nothing again.
    await q.ring();
    expect(await q.g.t.host.run(q.g.t.p.readFile(events, 64))).toEqual({ ok: false, errno: 'EAGAIN' });
    await q.g.t.poke(q.g.page(QUEUE_PAGE) + 16, [SYNC]);
    await q.write(GERRORN, 1);
    expect([await q.read(CONS), await q.g.copied()]).toEqual([3, 'after!']);
    expect(q.g.t.broken()).toEqual([]);
  });

  it('the queue keeps its memory mapped, a later queue the earlier one, and the mapping the vIOMMU', async () => {
    const q = await QueueGuest.boot();
    const { t, ioas, viommu } = q.g;
    const [first, second] = [await q.queue(), await q.queue(1, at(QUEUE_PAGE) + 64n)];
    await q.write(0x80 + CONFIG, 1);
    const destroy = (id: number) => t.errno(IOMMU_DESTROY, { id });
    expect(await t.unmap(ioas, IPA, 16n * PAGE)).toBe('EBUSY');
    expect(await destroy(first)).toBe('EBUSY');
    expect([await destroy(second), await q.read(0x80 + STATUS)]).toEqual([undefined, 0]);
    expect(await t.unmap(ioas, IPA, 16n * PAGE)).toBe('EBUSY');
    expect(await destroy(first)).toBeUndefined();
    expect(await destroy(viommu)).toBe('EBUSY');
    expect(await t.unmap(ioas, IPA, 16n * PAGE)).toBeUndefined();
    // Registers of a queue that is gone are nobody's.
    await q.write(CONFIG, 1);
    expect(await q.read(CONFIG)).toBe(0);
    await t.host.run(t.p.exit());
    expect(t.broken()).toEqual([]);
    expect(t.host.figures('iommufd')).toMatchObject({ contexts: 0, objects: 0, files: 0 });
  });
});
