import { IOMMU_DESTROY, iommu_hwpt_page_response, encode } from '@vfiolab/uapi';
import { causeFault } from './support/fault-lab.js';
import { Passthrough, PAGE, PLAIN, RICH, text } from './support/iommu-host.js';
import { type Guest, ipaOf, pageOf, READ_WRITE, VA, vtdGuest } from './support/vtd-guest.js';

const FAULT_ID_VALID = 4;
const [SUCCESS, INVALID] = [0, 1];
const [READ, WRITE] = [1, 2];
/** The guest's table has no entry for it. */
const MISSING = VA + 3n * PAGE;
const RECORD = 40;

interface Faulty extends Guest {
  readonly queue: { readonly id: number; readonly fd: number };
}

async function faultyGuest(iommu = 'intel-vtd-scalable'): Promise<Faulty> {
  let queue: Faulty['queue'] | undefined;
  const g = await vtdGuest(
    async (t) => {
      queue = await t.faultQueue();
      return { flags: FAULT_ID_VALID, fault_id: queue.id };
    },
    { iommu },
  );
  return { ...g, queue: queue! };
}

/** The next record: {flags, dev_id, pasid, grpid, perm, 0, addr, length, cookie}. */
async function nextRequest({ t, queue }: { t: Passthrough; queue: Faulty['queue'] }) {
  const bytes = await t.must(t.p.readFile(queue.fd, RECORD));
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const u32 = (at: number): number => view.getUint32(at, true);
  return {
    flags: u32(0),
    device: u32(4),
    pasid: u32(8),
    perm: u32(16),
    addr: view.getBigUint64(24, true),
    cookie: u32(36),
  };
}

const answer = ({ t, queue }: { t: Passthrough; queue: Faulty['queue'] }, cookie: number, code: number) =>
  t.host.run(t.p.writeFile(queue.fd, encode(iommu_hwpt_page_response, { cookie, code })));

describe('23: a DMA to a page that the guest’s table lacks makes a record, and its answer decides', () => {
  it('the record tells device, address and access; the engine is busy until the answer', async () => {
    const g = await faultyGuest();
    await g.t.dma(g.device, MISSING + 8n, 4, false);
    expect(await g.t.busy(g.device)).toBe(true);
    expect(await nextRequest(g)).toEqual({
      flags: 2,
      device: g.device.id,
      pasid: 0,
      perm: READ,
      addr: MISSING + 8n,
      cookie: 1,
    });
    expect(await g.t.faults(g.device)).toEqual([]);
  });

  it('SUCCESS: the access is tried again, and goes through', async () => {
    const g = await faultyGuest();
    await g.t.poke(pageOf(g, 4), text('awaited'));
    await g.t.dma(g.device, VA, 7, false);
    await g.t.dma(g.device, MISSING, 7, true);
    const { perm, cookie } = await nextRequest(g);
    expect(perm).toBe(WRITE);
    await g.t.poke(pageOf(g, 3) + 24, [ipaOf(9) | READ_WRITE]);
    expect(await answer(g, cookie, SUCCESS)).toEqual({ ok: true, value: 8 });
    expect(await g.t.busy(g.device)).toBe(false);
    expect(await g.t.peek(pageOf(g, 9), 7)).toBe('awaited');
    expect(await g.t.faults(g.device)).toEqual([]);
    expect(g.t.broken()).toEqual([]);
  });

  it('SUCCESS without a page: it is asked for again', async () => {
    const g = await faultyGuest();
    await g.t.dma(g.device, MISSING, 4, false);
    await answer(g, (await nextRequest(g)).cookie, SUCCESS);
    expect(await g.t.busy(g.device)).toBe(true);
    expect((await nextRequest(g)).addr).toBe(MISSING);
  });

  it('INVALID: the access fails, and memory is as it was', async () => {
    const g = await faultyGuest();
    await g.t.dma(g.device, MISSING, 4, true);
    await answer(g, (await nextRequest(g)).cookie, INVALID);
    expect(await g.t.busy(g.device)).toBe(false);
    expect(g.t.broken()).toEqual([]);
  });

  it('an answer counts once', async () => {
    const g = await faultyGuest();
    await g.t.dma(g.device, MISSING, 4, false);
    const { cookie } = await nextRequest(g);
    await answer(g, cookie, INVALID);
    expect(await answer(g, cookie, INVALID)).toEqual({ ok: false, errno: 'EINVAL' });
  });

  it.each(['detach', 'replace', 'close'] as const)('%s ends what waits, read or not', async (how) => {
    const g = await faultyGuest();
    const plain = await g.t.hwpt(g.device, await g.t.ioas());
    await g.t.dma(g.device, MISSING, 4, false);
    const { cookie } = await nextRequest(g);
    if (how === 'detach') expect(await g.t.detach(g.device)).toBeUndefined();
    else if (how === 'replace') expect(await g.t.attach(g.device, plain)).toBeUndefined();
    else await g.t.must(g.t.p.close(g.device.fd));
    if (how !== 'close') expect(await g.t.busy(g.device)).toBe(false);
    expect(await answer(g, cookie, SUCCESS)).toEqual({ ok: false, errno: 'EINVAL' });
    expect(await g.t.errno(IOMMU_DESTROY, { id: g.hwpt })).toBeUndefined();
    expect(g.t.broken()).toEqual([]);
  });

  it('a program that dies with a request open leaves nothing', async () => {
    const g = await faultyGuest();
    await g.t.dma(g.device, MISSING, 4, false);
    await g.t.host.run(g.t.p.exit());
    expect(g.t.broken()).toEqual([]);
    expect(g.t.host.figures('iommufd')).toMatchObject({ objects: 0, contexts: 0 });
    expect(g.t.host.figures('iommu')).toMatchObject({ ownedGroups: 0, domains: 0 });
  });

  it('the waiting device survives restarts of all services between request and answer', async () => {
    const g = await faultyGuest();
    await g.t.dma(g.device, MISSING, 4, true);
    const { cookie } = await nextRequest(g);
    for (const service of ['iommu', 'iommufd', 'pages', `device:${RICH.replace('.', '_')}`])
      g.t.host.host.crash(service, 5);
    await g.t.poke(pageOf(g, 3) + 24, [ipaOf(9) | READ_WRITE]);
    await answer(g, cookie, SUCCESS);
    expect(await g.t.busy(g.device)).toBe(false);
  });
});

/** A device whose HWPT follows an IOAS and has a fault queue. */
async function faultyPaging(iommu: string, bdf: string) {
  const t = await Passthrough.boot({ iommu });
  const device = await t.device(bdf);
  const ioas = await t.ioas();
  const queue = await t.faultQueue();
  const hwpt = await t.hwpt(device, ioas, { flags: FAULT_ID_VALID, fault_id: queue.id });
  return { t, device, ioas, queue, hwpt };
}

describe('23: page requests of other tables and drivers', () => {
  it.each([
    ['VT-d by PRI', 'intel-vtd-scalable', RICH],
    ['an SMMU that stalls any device', 'arm-smmu-v3-full', PLAIN],
    ['AMD by PRI', 'amd-vi-hd', RICH],
  ])('%s: a map made by the answer is found', async (_how, iommu, bdf) => {
    const g = await faultyPaging(iommu, bdf);
    expect(await g.t.attach(g.device, g.hwpt)).toBeUndefined();
    const memory = await g.t.memory(4096);
    await g.t.dma(g.device, 0x200000n, 4, true);
    const { cookie, addr } = await nextRequest(g);
    expect(addr).toBe(0x200000n);
    await g.t.map(g.ioas, 0x200000n, memory, PAGE);
    await answer(g, cookie, SUCCESS);
    expect(await g.t.busy(g.device)).toBe(false);
    expect(await g.t.faults(g.device)).toEqual([]);
  });

  it('VT-d refuses a fault queue for a device without page requests (d019)', async () => {
    const { t, device, hwpt } = await faultyPaging('intel-vtd-scalable', PLAIN);
    expect(await t.attach(device, hwpt)).toBe('ENODEV');
  });

  it('AMD takes it, and the device is refused as ever (d019)', async () => {
    const { t, device, hwpt, queue } = await faultyPaging('amd-vi', PLAIN);
    expect(await t.attach(device, hwpt)).toBeUndefined();
    await t.dma(device, 0x200000n, 4, true);
    expect(await t.busy(device)).toBe(false);
    expect(await t.faults(device)).toMatchObject([{ reason: 'not mapped' }]);
    expect(await t.host.run(t.p.readFile(queue.fd, RECORD))).toEqual({ ok: false, errno: 'EAGAIN' });
  });

  it('a PASID’s request carries the PASID', async () => {
    const g = await faultyPaging('intel-vtd-scalable', RICH);
    const hwpt = await g.t.hwpt(g.device, g.ioas, { flags: FAULT_ID_VALID | 8, fault_id: g.queue.id });
    expect(await g.t.attach(g.device, hwpt, 9)).toBeUndefined();
    await g.t.dma(g.device, 0x200000n, 4, true, 9);
    expect(await nextRequest(g)).toMatchObject({ flags: 3, pasid: 9 });
    expect(await g.t.detach(g.device, 9)).toBeUndefined();
    expect(await g.t.busy(g.device)).toBe(false);
    expect(g.t.broken()).toEqual([]);
  });
});

describe('a function that floods its host with page requests', () => {
  /** PRG indexes have 9 bits. */
  const MOST_REQUESTS = 512;

  it('the queue takes as many as it has room for, the others are answered at once; each is answered once', async () => {
    const g = await faultyGuest();
    const { host } = g.t;
    expect(await causeFault(host, RICH, 'page-flood', { iova: MISSING, write: true, count: 1000 })).toBe('');
    const standing = host.figures('iommu')['pageRequests']!;
    expect(standing).toBe(MOST_REQUESTS);
    const cookies = new Set<number>();
    for (let i = 0; i < 3; i++) {
      const { cookie, addr, perm } = await nextRequest(g);
      expect([addr, perm, cookies.has(cookie)]).toEqual([MISSING, WRITE, false]);
      cookies.add(cookie);
    }
    for (const cookie of cookies) await answer(g, cookie, SUCCESS);
    expect(host.figures('iommu')['pageRequests']).toBe(standing - 3);
    // Nobody goes on with the answers, and the engine can ask as before.
    expect([await g.t.busy(g.device), g.t.broken()]).toEqual([false, []]);
    await host.run(g.t.p.exit());
    await host.run(g.t.p.link.ports.sleep(200));
    expect([host.figures('iommu')['pageRequests'], host.broken()]).toEqual([0, []]);
  });

  it('nobody takes them where nobody has a queue', async () => {
    const t = await Passthrough.boot({ iommu: 'intel-vtd-scalable' });
    await t.device(RICH);
    expect(await causeFault(t.host, RICH, 'page-flood', { iova: MISSING, count: 10 })).toBe('');
    expect(t.host.figures('iommu')['pageRequests']).toBe(0);
    expect(await causeFault(t.host, PLAIN, 'page-flood', { iova: MISSING, count: 10 })).toMatch(/no page requests/);
  });
});
