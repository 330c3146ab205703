import { encode, type Errno, iommu_vevent_arm_smmuv3, IOMMU_DESTROY, IOMMU_VIOMMU_ALLOC } from '@vfiolab/uapi';
import { bytesOf, Passthrough, PAGE, text } from './support/iommu-host.js';
import {
  ABORT,
  ALL,
  ASID,
  at,
  BYPASS,
  commandFor,
  COMMANDS,
  CONFIG_ALL,
  NOT_VALID,
  ONE_PAGE,
  PAGE_RW,
  SMMU,
  SmmuGuest,
  STREAM,
  TRANSLATE,
  VA,
} from './support/smmu-guest.js';

const boot = (iommu?: string): Promise<SmmuGuest> => SmmuGuest.boot(iommu);

describe('15: a guest’s SMMUv3 table through a virtual IOMMU', () => {
  it('a translating entry needs a vDEVICE first, bypass and abort do not', async () => {
    const g = await boot();
    const tables = [await g.hwpt(TRANSLATE), await g.hwpt(BYPASS), await g.hwpt(ABORT), await g.hwpt(NOT_VALID)];
    const answers: (Errno | undefined)[] = [];
    for (const table of tables) answers.push(await g.t.attach(g.device, table));
    expect(answers).toEqual(['ENOENT', undefined, undefined, undefined]);
    await g.vdevice();
    expect(await g.t.attach(g.device, tables[0]!)).toBeUndefined();
  });

  it.each([
    ['a configuration for the host’s stage', 1n | (6n << 1n), 0n],
    ['a bit that is the host’s in the first word', TRANSLATE | (1n << 55n), 0n],
    ['a bit that is the host’s in the second word', TRANSLATE, 1n << 30n],
    ['a kind of ATS that nobody offers', TRANSLATE, 2n << 28n],
  ])('%s is EIO', async (_why, low, high) => {
    const g = await boot();
    await expect(g.hwpt(low, high)).rejects.toThrow('EIO');
  });

  it('an entry that is not valid may have anything in it', async () => {
    const g = await boot();
    await expect(g.hwpt(1n << 55n, 1n << 30n)).resolves.toBeGreaterThan(0);
  });

  it('reads and writes through both stages', async () => {
    const g = await (await boot()).attached();
    await g.t.poke(g.page(4), text('nested'));
    expect(await g.copied()).toBe('nested');
    expect(await g.t.faults(g.device)).toEqual([]);
    expect(g.t.broken()).toEqual([]);
  });

  it('bypass takes addresses for IPAs; abort refuses every DMA', async () => {
    const g = await (await boot()).attached(BYPASS);
    await g.t.poke(g.page(4), text('bypass'));
    await g.t.copy(g.device, at(4), at(8), 6);
    expect(await g.t.peek(g.page(8), 6)).toBe('bypass');
    await g.t.attach(g.device, await g.hwpt(ABORT));
    await g.t.dma(g.device, at(4), 4, false);
    expect(await g.t.faults(g.device)).toMatchObject([{ reason: 'aborted by the guest' }]);
  });

  it('a changed entry is used only after its invalidation', async () => {
    const g = await (await boot()).attached();
    await g.t.poke(g.page(4), text('before'));
    await g.t.poke(g.page(8), text('after!'));
    expect(await g.copied()).toBe('before');
    await g.t.poke(g.page(3), [at(8) | PAGE_RW]);
    for (const other of [
      [commandFor(ONE_PAGE, ASID), VA + PAGE],
      [commandFor(ONE_PAGE, 2n * ASID), VA],
    ]) {
      expect((await g.invalidate(...other)).out.entry_num).toBe(1);
      expect(await g.copied()).toBe('before');
    }
    await g.invalidate(commandFor(ONE_PAGE, ASID), VA);
    expect(await g.copied()).toBe('after!');
  });

  it('a range of pages is one command', async () => {
    const g = await (await boot()).attached();
    await g.t.poke(g.page(4), text('before'));
    await g.t.poke(g.page(8), text('after!'));
    expect(await g.copied()).toBe('before');
    await g.t.poke(g.page(3), [at(8) | PAGE_RW]);
    // Granules of 4 KiB, four of them, from the page before.
    await g.invalidate(commandFor(ONE_PAGE, ASID | (3n << 12n)), (VA - PAGE) | (1n << 10n));
    expect(await g.copied()).toBe('after!');
  });

  it('a new context is read only after its invalidation', async () => {
    const g = await (await boot()).attached();
    expect(await g.copied()).toHaveLength(6);
    await g.t.poke(g.page(0), [0n]);
    await g.invalidate(ALL, 0n);
    expect((await g.t.faults(g.device)).length).toBe(0);
    await g.copied();
    expect((await g.t.faults(g.device)).length).toBe(0);
    await g.invalidate(commandFor(CONFIG_ALL, BigInt(STREAM) << 32n), 0n, ALL, 0n);
    await g.copied();
    expect((await g.t.faults(g.device))[0]).toMatchObject({ reason: 'bad context' });
  });

  it('19: commands before an illegal one are done and counted; nobody else’s stream may be named', async () => {
    const g = await (await boot()).attached();
    const told = async (...commands: bigint[]) => {
      const { out, errno } = await g.invalidate(...commands);
      return [out.entry_num, errno];
    };
    expect(await told(ALL, 0n, ALL, 0n, 0x46n, 0n, ALL, 0n, ALL, 0n)).toEqual([2, 'EIO']);
    expect(await told(commandFor(CONFIG_ALL, 25n << 32n), 0n)).toEqual([0, 'EIO']);
    const n = await g.hwpt(TRANSLATE);
    expect((await g.t.invalidate(n, COMMANDS, 16, [ALL, 0n])).errno).toBe('EOPNOTSUPP');
  });

  it('the guest reads the faults of its own table, under its own number for the device', async () => {
    const g = await (await boot()).attached();
    const fd = await g.events();
    await g.t.dma(g.device, VA + 3n * PAGE, 4, false);
    await g.t.dma(g.device, VA + 2n * PAGE, 4, true);
    // A page that the parent lacks is the host's affair.
    await g.t.poke(g.page(3) + 32, [0x900000n | PAGE_RW]);
    await g.t.dma(g.device, VA + 4n * PAGE, 4, false);
    const read = await g.t.must(g.t.p.readFile(fd, 400));
    const event = (sequence: number, words: bigint[]): number[] => {
      const header = bytesOf(BigInt(sequence) << 32n);
      return [...header, ...encode(iommu_vevent_arm_smmuv3, { evt: words })];
    };
    const stream = BigInt(STREAM) << 32n;
    expect([...read]).toEqual([
      ...event(0, [0x10n | stream, 0x20800000000n, VA + 3n * PAGE, 0n]),
      ...event(1, [0x13n | stream, 0x20000000000n, VA + 2n * PAGE, 0n]),
    ]);
    expect((await g.t.faults(g.device)).map(({ reason }) => reason)).toEqual([
      'not mapped by the guest',
      'not writable in the guest table',
      'second stage: not mapped',
    ]);
  });

  it('a vDEVICE that goes leaves the attachment, but no new one can be made', async () => {
    const g = await boot();
    const vdevice = await g.vdevice();
    const table = await g.hwpt(TRANSLATE);
    await g.t.attach(g.device, table);
    expect(await g.t.errno(IOMMU_DESTROY, { id: vdevice })).toBeUndefined();
    expect(await g.t.errno(IOMMU_DESTROY, { id: table })).toBe('EBUSY');
    await g.t.detach(g.device);
    expect(await g.t.attach(g.device, table)).toBe('ENOENT');
  });
});

describe('15: where a virtual IOMMU is not on offer', () => {
  it.each(['arm-smmu-v3', 'arm-smmu-v3-nested', 'arm-smmu-v3-s2', 'intel-vtd-scalable', 'amd-vi-hd'])(
    '%s: EOPNOTSUPP',
    async (iommu) => {
      const t = await Passthrough.boot({ iommu });
      const { id } = await t.device();
      expect(await t.errno(IOMMU_VIOMMU_ALLOC, { type: SMMU, dev_id: id, hwpt_id: 99 })).toBe('EOPNOTSUPP');
    },
  );
});
