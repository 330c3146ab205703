/** Faults of devices: what the kernel, vfio-pci and programs make of hardware that does not do what it should. */
import { faultNames } from '@vfiolab/core';
import { gpu } from '@vfiolab/devices';
import { IOMMU_IOAS_UNMAP, VFIO_DEVICE_PCI_HOT_RESET, VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { AUDIO, CARD, ENGINE, FaultLab, RICH, SLOT } from './support/fault-lab.js';
import { COMMAND, CONFIG, type Device, NOTHING, type Program } from './support/passthrough.js';

const VENDOR = 0x1234n;
const ONES = 0xffff_ffffn;
/** The command register of a function that does not answer: all but the virtual bit that disables INTx. */
const SILENT = 0xfbffn;
const [ERR, REQ, MSI] = [3, 4, 1];
const IOVA = 0x10_0000n;

async function bench(bdf: string, options: Parameters<typeof FaultLab.boot>[0] = {}) {
  const lab = await FaultLab.boot(options);
  const p = await lab.host.program('vmm');
  return { lab, p, d: await p.device(bdf) };
}

const reset = async (d: Device): Promise<string | undefined> =>
  (await d.p.host.run(d.p.process.ioctlPlain(d.fd, VFIO_DEVICE_RESET))).errno;
const hotReset = (d: Device) => d.p.errno(d.fd, VFIO_DEVICE_PCI_HOT_RESET, { argsz: 12, count: 0 });
/** A register of the engine, and the device's own command register, which is not virtual. */
const registers = async (d: Device) => [await d.read(0), await d.read(COMMAND, 2)];

describe('a function that is stuck in reset', () => {
  it('is waited for, and the reset works when it answers within a minute', async () => {
    const { lab, d } = await bench(ENGINE);
    expect(await lab.fault(ENGINE, 'slow-reset', { ms: 5000, count: 1 })).toBe('');
    // 100 ms, then looks after 1, 2, 4 ... 4096 ms.
    expect(await lab.timed(() => reset(d))).toEqual([undefined, 8]);
    expect(await registers(d)).toEqual([0x010000edn, 6n]);
    expect(await lab.timed(() => reset(d))).toEqual([undefined, 0]);
  });

  it('is given up after a minute by the function level reset; power management sees ones; the bus brings it back', async () => {
    const { lab, d } = await bench(ENGINE);
    expect(await lab.fault(ENGINE, 'stuck-reset', { ms: 90_000, count: 1 })).toBe('');
    expect(await lab.timed(() => reset(d))).toEqual([undefined, 65]);
    expect(await registers(d)).toEqual([0x010000edn, 6n]);
  });

  it('for ever is ENOTTY after every method; its registers are ones, and it does no DMA', async () => {
    const { lab, p, d } = await bench(ENGINE);
    await p.mapped(IOVA, 4096);
    expect(await lab.fault(ENGINE, 'stuck-reset')).toBe('');
    expect(await lab.timed(() => reset(d))).toEqual(['ENOTTY', 131]);
    expect(await registers(d)).toEqual([ONES, SILENT]);
    // The ids are virtual, the power state is not.
    expect([await d.read(CONFIG, 2), await d.read(CONFIG + 0x94, 1)]).toEqual([VENDOR, 0xffn]);
    await d.write(0x98, 3n, 8);
    expect(await lab.fault(ENGINE, 'clear')).toBe('');
    // Nobody has put its registers back: BARs are ones until the command register is written.
    expect(await registers(d)).toEqual([ONES, 0n]);
    await d.command(6);
    expect(await registers(d)).toEqual([0x010000edn, 6n]);
    expect(lab.host.host.broken()).toEqual([]);
  });

  it('keeps others from its registers until the kernel is done', async () => {
    const { lab, p, d } = await bench(ENGINE);
    await lab.fault(ENGINE, 'slow-reset', { ms: 1000, count: 1 });
    const going = lab.begin(
      p.process
        .ioctlPlain(d.fd, VFIO_DEVICE_RESET)
        .then((done) => ({ ok: true as const, value: done.errno ?? 'done' })),
    );
    await lab.pause(10);
    const [value, ms] = await lab.timed(() => d.read(COMMAND, 2));
    expect([value, going()]).toEqual([6n, 'done']);
    expect(ms).toBeGreaterThanOrEqual(1);
  });

  it('does not answer whoever opens it next: the open takes its time, and the function cannot be reset', async () => {
    const lab = await FaultLab.boot();
    const p = await lab.host.program('vmm');
    await lab.fault(ENGINE, 'stuck-reset');
    const [d, ms] = await lab.timed(() => p.device(ENGINE));
    expect(ms).toBeGreaterThanOrEqual(131);
    expect([await reset(d), await d.read(0)]).toEqual(['EINVAL', ONES]);
    await lab.fault(ENGINE, 'clear');
    await p.must(p.process.close(d.fd));
    const again = await p.device(ENGINE);
    expect([await reset(again), await again.read(0)]).toEqual([undefined, 0x010000edn]);
  });

  it('can be closed: the last close waits, and leaves nothing', async () => {
    const { lab, p, d } = await bench(ENGINE);
    await lab.fault(ENGINE, 'stuck-reset');
    const [, ms] = await lab.timed(() => p.must(p.process.close(d.fd)));
    expect(ms).toBeGreaterThanOrEqual(131);
    expect(await lab.host.afterwards(p, ENGINE)).toEqual(NOTHING);
  });
});

describe('a reset that fails', () => {
  it('has the next method tried, and ENOTTY when all have', async () => {
    const { lab, d } = await bench(ENGINE);
    await lab.fault(ENGINE, 'failing-reset', { count: 2 });
    await d.write(0x60, 1n);
    expect([await reset(d), await d.read(0x24)]).toEqual([undefined, 0n]);
    await lab.fault(ENGINE, 'failing-reset', { count: 3 });
    await d.write(0x60, 1n);
    expect([await reset(d), await d.read(0x24)]).toEqual(['ENOTTY', 1n]);
    expect([await reset(d), await d.read(0x24)]).toEqual([undefined, 0n]);
  });

  it('is told to who asks by sysfs', async () => {
    const { lab, p } = await bench(ENGINE);
    await lab.fault(ENGINE, 'failing-reset');
    const path = `/sys/bus/pci/devices/${ENGINE}/reset`;
    expect(await p.attempt(p.process.sysfsWrite(path, '1'))).toBe('ENOTTY');
    await lab.fault(ENGINE, 'clear');
    expect(await p.attempt(p.process.sysfsWrite(path, '1'))).toBe(1);
  });
});

describe('a graphics card', () => {
  it('takes its time to come back, as its description says', async () => {
    const { lab, d } = await bench(CARD, { card: 'gpu reset=1500' });
    expect(await lab.timed(() => reset(d))).toEqual([undefined, 2]);
    expect(await d.read(gpu.ID)).toBe(BigInt(gpu.IDENTIFICATION));
  });

  it('hangs in every so many-th reset of its own; with its audio function on the bus only a hot reset helps', async () => {
    // The open is the first reset, and these are the second and third.
    const { lab, p, d } = await bench(CARD, { card: 'gpu reset=10 stuck-every=3' });
    expect(await reset(d)).toBeUndefined();
    expect(await lab.timed(() => reset(d))).toEqual(['ENOTTY', 65]);
    expect([await d.read(gpu.ID), await reset(d)]).toEqual([ONES, 'ENOTTY']);
    const audio = await p.device(AUDIO);
    expect(await hotReset(d)).toBeUndefined();
    // As after a reset behind the driver's back, until the command register is written.
    await d.command(6);
    expect(await d.read(gpu.ID)).toBe(BigInt(gpu.IDENTIFICATION));
    expect(await audio.read(0)).toBe(0x4c414448n);
    expect(lab.host.host.broken()).toEqual([]);
  });

  it('that does not come back from a hot reset makes it ENOTTY', async () => {
    const { lab, p, d } = await bench(CARD, { card: 'gpu reset=0' });
    await p.device(AUDIO);
    await lab.fault(CARD, 'stuck-reset');
    expect(await lab.timed(() => hotReset(d))).toEqual(['ENOTTY', 65]);
  });
});

describe('a link that goes down', () => {
  const request = async (p: Program, d: Device) => {
    const event = await p.eventfd();
    expect(await d.setIrqs(REQ, 0, [event])).toBeUndefined();
    return event;
  };
  const here = (p: Program, bdf = CARD) => p.attempt(p.process.sysfsRead(`/sys/bus/pci/devices/${bdf}/vendor`));

  it('of a hot-plug slot: ones, REQ, and sysfs forgets the function when its user lets go', async () => {
    const { lab, p, d } = await bench(CARD);
    const asked = await request(p, d);
    expect(await lab.fault(AUDIO, 'link-down')).toBe('');
    expect([await d.read(gpu.ID), await d.read(COMMAND, 2), await d.read(CONFIG, 2)]).toEqual([ONES, SILENT, VENDOR]);
    await lab.pause(100);
    expect([await p.count(asked), await here(p), await here(p, AUDIO)]).toEqual([1, '0x1234\n', 'ENOENT']);
    // The kernel knows that it is gone, and waits for nothing.
    expect(await lab.timed(() => reset(d))).toEqual(['ENOTTY', 0]);
    await lab.pause(10_000);
    expect(await p.count(asked)).toBe(1);
    await p.must(p.process.close(d.fd));
    await lab.pause(100);
    expect(await here(p)).toBe('ENOENT');
    expect(await p.attempt(p.process.sysfsWrite('/sys/bus/pci/rescan', '1'))).toBe(1);
    expect(await here(p)).toBe('ENOENT');
    expect(await lab.fault(CARD, 'link-down')).toMatch(/^There is no function 0000:01:00.0/);
    expect(await lab.fault(CARD, 'link-up')).toBe('');
    expect([await here(p), await here(p, AUDIO)]).toEqual(['0x1234\n', '0x1234\n']);
    const again = await p.device(CARD);
    expect(await again.read(gpu.ID)).toBe(BigInt(gpu.IDENTIFICATION));
    expect(await lab.host.afterwards(p, CARD)).toEqual(NOTHING);
  });

  it('and comes up while the user holds on: the function goes first, and is found again after', async () => {
    const { lab, p, d } = await bench(CARD);
    expect(await lab.fault(CARD, 'link-down', { ms: 500 })).toBe('');
    await lab.pause(1000);
    // This user's function stays gone.
    expect([await d.read(gpu.ID), await here(p)]).toEqual([ONES, '0x1234\n']);
    await p.must(p.process.close(d.fd));
    await lab.pause(1000);
    const again = await p.device(CARD);
    expect(await again.read(gpu.ID)).toBe(BigInt(gpu.IDENTIFICATION));
    expect(lab.host.host.broken()).toEqual([]);
  });

  it('without a slot: nobody notices but who asks, and it comes back as after power-on', async () => {
    const { lab, p, d } = await bench(ENGINE);
    const asked = await request(p, d);
    await d.write(0x60, 1n);
    expect(await lab.fault(ENGINE, 'link-down', { ms: 1000 })).toBe('');
    expect(await registers(d)).toEqual([ONES, SILENT]);
    expect(await lab.fault(ENGINE, 'link-down')).toBe(`The link of ${ENGINE} is down already.`);
    await lab.pause(1100);
    expect(await registers(d)).toEqual([ONES, 0n]);
    await d.command(6);
    expect([await d.read(0), await d.read(0x24), await p.count(asked)]).toEqual([0x010000edn, 0n, 0]);
    expect(await lab.fault(ENGINE, 'link-up')).toBe(`The link of ${ENGINE} is not down.`);
  });

  it('survives the end of services: what was down is down', async () => {
    const { lab, p, d } = await bench(ENGINE);
    await lab.fault(ENGINE, 'link-down');
    for (const address of lab.host.host.host.addresses()) lab.host.host.host.crash(address, 5);
    await lab.pause(100);
    expect(await registers(d)).toEqual([ONES, SILENT]);
    await lab.fault(ENGINE, 'clear');
    await d.command(6);
    expect(await d.read(0)).toBe(0x010000edn);
    expect(await lab.host.afterwards(p, ENGINE)).toEqual(NOTHING);
  });
});

describe('errors that the port reports', () => {
  it('not fatal: the users of all functions behind the port are told', async () => {
    const { lab, p, d } = await bench(CARD);
    const audio = await p.device(AUDIO);
    const [one, two] = [await p.eventfd(), await p.eventfd()];
    await d.setIrqs(ERR, 0, [one]);
    await audio.setIrqs(ERR, 0, [two]);
    expect(await lab.fault(AUDIO, 'aer-nonfatal')).toBe('');
    expect([await p.count(one), await p.count(two), await d.read(COMMAND, 2)]).toEqual([1, 1, 6n]);
    expect(await lab.fault(AUDIO, 'aer-correctable')).toBe('');
    expect([await p.count(one), await p.count(two)]).toEqual([0, 0]);
  });

  it('fatal: the bus is reset behind the driver’s back, which notices with the next write of the command register', async () => {
    const { lab, p, d } = await bench(ENGINE);
    const err = await p.eventfd();
    await d.setIrqs(ERR, 0, [err]);
    await d.write(0x60, 1n);
    expect(await lab.fault(ENGINE, 'aer-fatal')).toBe('');
    expect([await p.count(err), ...(await registers(d))]).toEqual([1, ONES, 0n]);
    await d.command(6);
    expect([await d.read(0), await d.read(0x24)]).toEqual([0x010000edn, 0n]);
  });
});

describe('storms', () => {
  it('of interrupts: as many as asked for, and a reset ends them', async () => {
    const { lab, p, d } = await bench(ENGINE);
    const event = await p.eventfd();
    await d.setIrqs(MSI, 0, [event]);
    expect(await lab.fault(ENGINE, 'interrupt-storm', { count: 20, every: 5 })).toBe('');
    await lab.pause(1000);
    expect(await p.count(event)).toBe(20);
    await lab.fault(ENGINE, 'interrupt-storm', { count: 1000, every: 10 });
    await lab.pause(205);
    expect(await reset(d)).toBeUndefined();
    expect(await p.count(event)).toBeGreaterThan(3);
    await lab.pause(1000);
    expect(await p.count(event)).toBe(0);
    expect(await lab.host.afterwards(p, ENGINE)).toEqual(NOTHING);
  });

  it('of DMA: what is not mapped is refused and recorded, what is mapped is written; clear ends them', async () => {
    const { lab, p } = await bench(ENGINE);
    const va = await p.mapped(IOVA, 4096);
    expect(await lab.fault(ENGINE, 'dma-storm', { iova: 0x66000n, count: 5 })).toBe('');
    expect(await lab.fault(ENGINE, 'dma-storm', { iova: IOVA, write: true, bytes: 4, count: 1000, every: 1000 })).toBe(
      '',
    );
    await lab.pause(1500);
    expect([...(await p.must(p.process.read(va, 5)))]).toEqual([0xfe, 0xfe, 0xfe, 0xfe, 0]);
    await p.must(p.process.write(va, new Uint8Array(5)));
    await lab.fault(ENGINE, 'clear');
    await lab.pause(5000);
    expect([...(await p.must(p.process.read(va, 5)))]).toEqual([0, 0, 0, 0, 0]);
    expect(await lab.host.afterwards(p, ENGINE)).toEqual(NOTHING);
  });

  it('there are no more than eight of one function', async () => {
    const { lab } = await bench(ENGINE);
    const more = () => lab.fault(ENGINE, 'interrupt-storm', { count: 1000, every: 1000 });
    for (let i = 0; i < 8; i++) expect(await more()).toBe('');
    expect(await more()).toBe(`${ENGINE} has 8 storms already. Clear its faults first.`);
    await lab.fault(ENGINE, 'clear');
    await lab.pause(1100);
    expect(await more()).toBe('');
  });
});

describe('a function that does not answer invalidations', () => {
  const mapped = async (iommu: string) => {
    const { lab, p, d } = await bench(RICH, { iommu });
    await p.mapped(IOVA, 4096);
    const unmap = () =>
      p.process
        .ioctl(p.iommufd, IOMMU_IOAS_UNMAP, { ioas_id: p.ioas, iova: IOVA, length: 4096n })
        .then(({ errno }) => ({ ok: true as const, value: errno ?? 'unmapped' }));
    return { lab, p, d, unmap };
  };

  it.each([
    ['amd-vi', 100],
    ['arm-smmu-v3', 1000],
  ])('%s: its driver waits for a while and goes on', async (iommu, ms) => {
    const { lab, unmap } = await mapped(iommu);
    expect(await lab.fault(RICH, 'ats-timeout')).toBe('');
    const took = await lab.ms(() => lab.host.host.run(unmap()));
    expect(took).toBeGreaterThanOrEqual(ms);
    expect(took).toBeLessThan(ms + 100);
    expect(lab.host.host.broken()).toEqual([]);
  });

  it('intel-vtd: its driver asks again and again; the page is the program’s only when the function has answered', async () => {
    const { lab, p, unmap } = await mapped('intel-vtd');
    await lab.fault(RICH, 'ats-timeout', { ms: 5000 });
    const answer = lab.begin(unmap());
    await lab.pause(4500);
    expect([answer(), lab.host.host.figures('pages')['pins']]).toEqual([undefined, 1]);
    await lab.pause(600);
    expect([answer(), lab.host.host.figures('pages')['pins']]).toEqual(['unmapped', 0]);
    expect(await lab.host.afterwards(p, RICH)).toEqual(NOTHING);
  });

  it('intel-vtd: a killed program’s memory goes when the fault is cleared, also after the service was dead', async () => {
    const { lab, p } = await mapped('intel-vtd');
    await lab.fault(RICH, 'ats-timeout');
    const { host } = lab.host;
    lab.begin(p.process.exit().then(() => ({ ok: true as const, value: 'gone' })));
    await lab.pause(3000);
    host.host.crash('iommu', 50);
    await lab.pause(3000);
    expect(host.figures('pages')['pins']).toBe(1);
    expect(await lab.fault(RICH, 'clear')).toBe('');
    await lab.pause(200);
    expect([host.figures('pages')['pins'], host.broken()]).toEqual([0, []]);
  });
});

it('a slow link delays reads of registers and config space, not writes', async () => {
  const { lab, d } = await bench(ENGINE);
  expect(await lab.fault(ENGINE, 'slow-link', { delay: 50, ms: 1000 })).toBe('');
  expect(await lab.ms(() => d.read(0))).toBeGreaterThanOrEqual(50);
  expect(await lab.ms(() => d.read(COMMAND, 2))).toBeGreaterThanOrEqual(50);
  expect(await lab.ms(() => d.write(4, 1n))).toBeLessThan(50);
  await lab.pause(1000);
  expect(await lab.ms(() => d.read(0))).toBeLessThan(50);
});

it('a model’s description says how long reads take', async () => {
  const { lab, d } = await bench(ENGINE, { engine: 'dma-engine read=200' });
  expect(await lab.ms(() => d.read(0))).toBeGreaterThanOrEqual(200);
  expect(await lab.ms(() => d.write(4, 1n))).toBeLessThan(200);
});

describe('what cannot be is refused in words', () => {
  it.each([
    [CARD, 'flat-tyre', {}, /^There is no fault "flat-tyre". Faults: link-down,/],
    [CARD, 'link-down', { vector: 1 }, /^link-down has no vector. It takes ms.$/],
    [CARD, 'clear', { ms: 1 }, /^clear has no ms. It takes no parameters.$/],
    [CARD, 'slow-reset', {}, /^slow-reset needs ms: ms that it lasts/],
    [CARD, 'stuck-reset', { ms: 0 }, /^ms of stuck-reset is 0. It can be 1 to 3600000.$/],
    [CARD, 'stuck-reset', { count: 1001 }, /^count of stuck-reset is 1001. It can be 1 to 1000.$/],
    [CARD, 'ats-timeout', {}, /^0000:01:00.0 keeps no translations: it has no ATS.$/],
    [CARD, 'page-flood', { iova: 0n, count: 1 }, /^0000:01:00.0 cannot ask for pages/],
    [CARD, 'dma-storm', { iova: 0n, count: 1, pasid: 1 }, /^0000:01:00.0 has no PASIDs.$/],
    [CARD, 'interrupt-storm', { count: 1, vector: 5 }, /^0000:01:00.0 has 1 vectors, so no vector 5.$/],
    [RICH, 'link-down', {}, /^0000:00:03.0 has no link of its own/],
    [RICH, 'page-flood', { iova: 0n, count: 1 }, /^0000:00:03.0 may not send anything: its bus master bit is off.$/],
    [
      SLOT,
      'stuck-reset',
      {},
      /^0000:00:01.0 is bound to pcieport: faults reach functions that are bound to vfio-pci.$/,
    ],
    ['0000:77:00.0', 'stuck-reset', {}, /^There is no function 0000:77:00.0. Bound to vfio-pci: 0000:00:03.0, /],
  ])('%s %s %p', async (bdf, kind, parameters, words) => {
    const lab = await FaultLab.boot();
    const before = lab.host.host.meaning('groups');
    expect(await lab.fault(bdf!, kind, parameters)).toMatch(words);
    expect(lab.host.host.meaning('groups')).toEqual(before);
  });

  it('a function without any way to reset it cannot get stuck in one', async () => {
    const { lab, p } = await bench(ENGINE);
    await p.must(p.process.sysfsWrite(`/sys/bus/pci/devices/${ENGINE}/reset_method`, '\n'));
    expect(await lab.fault(ENGINE, 'stuck-reset')).toBe(`${ENGINE} cannot be reset by any method now.`);
  });

  it('every kind is one of the list', () => expect(new Set(faultNames).size).toBe(14));
});
