/**
 * Capability 6: devices without an IOMMU by their own nodes, in kernels since 7.3 (semantics A4.3, A4.4).
 *
 * Rule: what the device reaches is seen in bytes of memory; where memory lies, only the kernel tells.
 */
import { GROUPS, IOMMU, IOMMUFD } from '@vfiolab/core';
import {
  IOMMU_DESTROY,
  IOMMU_GET_HW_INFO,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_VIOMMU_ALLOC,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '@vfiolab/uapi';
import { OTHER_RICH, PAGE, Passthrough, PLAIN, RICH, text } from './support/iommu-host.js';

const SWITCH = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';
const DRIVER = '/sys/bus/pci/drivers/vfio-pci';
const NODE = '/dev/vfio/devices/noiommu-vfio0';
const IOVA = 0x200000n;

async function boot(profile = '7.3', bdfs = [RICH]): Promise<Passthrough> {
  const b = await Passthrough.boot({ iommu: 'none', profile });
  await b.must(b.p.sysfsWrite(SWITCH, 'Y'));
  for (const bdf of bdfs) {
    await b.must(b.p.sysfsWrite(`/sys/bus/pci/devices/${bdf}/driver_override`, 'vfio-pci'));
    await b.must(b.p.sysfsWrite(`${DRIVER}/bind`, bdf));
  }
  return b;
}

const getPa = (b: Passthrough, ioas_id: number, iova: bigint, length = 1n << 40n) =>
  b.ioctl(IOMMU_IOAS_NOIOMMU_GET_PA, { ioas_id, iova, length });

/** A device that is attached, and a page of memory with words in it, mapped at IOVA. */
async function attached(b: Passthrough, bytes = 4096) {
  const [device, ioas, va] = [await b.device(), await b.ioas(), await b.memory(bytes)];
  expect(await b.attach(device, ioas)).toBeUndefined();
  await b.poke(va, text('secret'));
  expect(await b.map(ioas, IOVA, va, BigInt(bytes))).toBeUndefined();
  return { device, ioas, va };
}

describe('6: a node of its own for a device without an IOMMU', () => {
  it.each(['6.12', '7.2'])('%s has none', async (profile) => {
    const b = await boot(profile);
    expect(await b.must(b.p.listdir('/dev/vfio'))).toEqual(['noiommu-0', 'vfio']);
    expect(await b.must(b.p.listdir(`/sys/bus/pci/devices/${RICH}/vfio-dev`))).toEqual(['vfio0']);
    expect(await b.host.run(b.p.open(NODE))).toMatchObject({ errno: 'ENOENT' });
  });

  it('7.3 has one besides the group, both say noiommu, and only CAP_SYS_RAWIO opens it', async () => {
    const b = await boot();
    expect(await b.must(b.p.listdir('/dev/vfio'))).toEqual(['devices', 'noiommu-0', 'vfio']);
    expect(await b.must(b.p.listdir('/dev/vfio/devices'))).toEqual(['noiommu-vfio0']);
    expect(await b.must(b.p.listdir('/sys/class/vfio-dev'))).toEqual(['noiommu-vfio0']);
    const weak = await b.host.process('weak', { uid: 0, caps: 0, memlock: 1 << 20 });
    expect(await b.host.run(weak.open(NODE))).toMatchObject({ errno: 'EPERM' });
  });

  it('it is exclusive with the open group, and goes with the driver', async () => {
    const b = await boot();
    const group = await b.must(b.p.open('/dev/vfio/noiommu-0'));
    const fd = await b.must(b.p.open(NODE));
    expect(await b.errno(VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: b.fd }, fd)).toBe('EBUSY');
    await b.must(b.p.close(fd));
    await b.must(b.p.close(group));
    const device = await b.device();
    expect(await b.host.run(b.p.open('/dev/vfio/noiommu-0'))).toMatchObject({ errno: 'EBUSY' });
    await b.must(b.p.close(device.fd));
    await b.must(b.p.sysfsWrite(`${DRIVER}/unbind`, RICH));
    expect(await b.host.run(b.p.open(NODE))).toMatchObject({ errno: 'ENOENT' });
    expect(b.broken()).toEqual([]);
  });
});

describe('6: BIND, attach and GET_PA', () => {
  it('nobody owns DMA: two devices, two contexts', async () => {
    const b = await boot('7.3', [RICH, PLAIN]);
    const mine = await attached(b);
    const other = await b.host.process('other');
    const fd = await b.must(other.open('/dev/iommu'));
    const cdev = await b.must(other.open('/dev/vfio/devices/noiommu-vfio1'));
    expect(await b.detach(mine.device)).toBeUndefined();
    expect(await b.host.run(other.ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, { argsz: 16, iommufd: fd }))).toMatchObject({
      errno: undefined,
    });
    expect(b.broken()).toEqual([]);
  });

  it('answers where memory is, from any byte on, and how far it goes on', async () => {
    const b = await boot();
    const [device, ioas] = [await b.device(), await b.ioas()];
    const va = await b.must(b.p.mmap(0x200000, { pageShift: 21 }));
    await b.attach(device, ioas);
    expect(await b.map(ioas, IOVA, va, 0x200000n)).toBeUndefined();
    const { out_phys: pa, length } = (await getPa(b, ioas, IOVA)).out;
    expect(length).toBe(0x200000n);
    await b.poke(va + 0x1080, text('there'));
    await b.copy(device, pa + 0x1080n, pa, 5);
    expect(await b.peek(va, 5)).toBe('there');
    expect((await getPa(b, ioas, IOVA + 0x1080n)).out).toMatchObject({
      out_phys: pa + 0x1080n,
      length: 0x200000n - 0x1080n,
    });
    expect((await getPa(b, ioas, IOVA, 100n)).out).toMatchObject({ out_phys: pa, length: 100n });
  });

  it.each([
    ['nothing is mapped there', IOVA + PAGE, 'ENOENT'],
    ['the last byte of all', (1n << 64n) - 1n, 'EOVERFLOW'],
  ] as const)('%s', async (_why, iova, errno) => {
    const b = await boot();
    const { ioas } = await attached(b);
    expect((await getPa(b, ioas, iova)).errno).toBe(errno);
  });

  it('an IOAS that no such device is attached to has no table to look into: EOPNOTSUPP', async () => {
    const b = await boot();
    const { device, ioas } = await attached(b);
    expect((await getPa(b, ioas, IOVA)).errno).toBeUndefined();
    expect(await b.detach(device)).toBeUndefined();
    expect((await getPa(b, ioas, IOVA)).errno).toBe('EOPNOTSUPP');
  });

  it('there is no IOMMU to ask and no flag to give: EOPNOTSUPP; a HWPT of its own is fine', async () => {
    const b = await boot();
    const { device, ioas } = await attached(b);
    expect(await b.errno(IOMMU_GET_HW_INFO, { dev_id: device.id })).toBe('EOPNOTSUPP');
    expect(await b.errno(IOMMU_VIOMMU_ALLOC, { dev_id: device.id, type: 1, hwpt_id: ioas })).toBe('EOPNOTSUPP');
    for (const flags of [1, 2, 8])
      expect(await b.errno(IOMMU_HWPT_ALLOC, { dev_id: device.id, pt_id: ioas, flags })).toBe('EOPNOTSUPP');
    const hwpt = await b.hwpt(device, ioas);
    expect(await b.attach(device, hwpt)).toBeUndefined();
    expect(await b.attach(device, hwpt, 1)).toBe('EINVAL');
    expect(await b.errno(IOMMU_DESTROY, { id: hwpt })).toBe('EBUSY');
    expect(b.broken()).toEqual([]);
  });
});

describe('6: its DMA', () => {
  it('goes to the address itself, mapped or not, pinned or not; an IOVA is no address', async () => {
    const b = await boot();
    const { device, ioas, va } = await attached(b, 8192);
    const { out_phys: pa } = (await getPa(b, ioas, IOVA)).out;
    await b.copy(device, pa, pa + 100n, 6);
    expect(await b.peek(va + 100, 6)).toBe('secret');
    await b.unmap(ioas, IOVA, 8192n);
    expect(await b.detach(device)).toBeUndefined();
    await b.copy(device, pa, pa + 200n, 6);
    expect(await b.peek(va + 200, 6)).toBe('secret');
    await b.copy(device, IOVA, pa + 300n, 6);
    expect(await b.peek(va + 300, 6)).not.toBe('secret');
  });

  it('is counted as unprotected, and the host is tainted; a restart keeps both', async () => {
    const b = await boot();
    const { device, ioas } = await attached(b);
    const { out_phys: pa } = (await getPa(b, ioas, IOVA)).out;
    await b.copy(device, pa, pa + 8n, 6);
    const told = () => [IOMMU, GROUPS].flatMap((service) => b.host.host.actor(service)!.machine.core.describe());
    const marks = [`${RICH}: 2 DMAs without an IOMMU, unprotected`, 'tainted: a device was given out without an IOMMU'];
    expect(told()).toEqual(expect.arrayContaining(marks));
    for (const service of [IOMMU, IOMMUFD, GROUPS]) b.host.host.crash(service, 5);
    expect((await getPa(b, ioas, IOVA)).out.out_phys).toBe(pa);
    await b.must(b.p.listdir('/dev/vfio'));
    expect(told()).toEqual(expect.arrayContaining(marks));
    expect(b.broken()).toEqual([]);
  });

  it('beyond memory it reads ones, and what it writes is lost', async () => {
    const b = await boot();
    const { device, ioas, va } = await attached(b);
    const { out_phys: pa } = (await getPa(b, ioas, IOVA)).out;
    await b.copy(device, 1n << 42n, pa, 8);
    await b.copy(device, pa + 8n, 1n << 42n, 8);
    expect(await b.must(b.p.read(va, 8))).toEqual(new Uint8Array(8).fill(0xff));
  });

  it('reaches a page that was given away, which its next owner finds empty', async () => {
    const b = await boot('7.3', [RICH, OTHER_RICH]);
    const { device, ioas, va } = await attached(b);
    const { out_phys: pa } = (await getPa(b, ioas, IOVA)).out;
    await b.copy(device, pa, pa, 6);
    await b.unmap(ioas, IOVA, PAGE);
    await b.must(b.p.munmap(va, 4096));
    await b.dma(device, pa, 6, true);
    const next = await b.memory(4096);
    expect(await b.peek(next, 6)).toBe('\0\0\0\0\0\0');
  });
});
