/** Capability 103: functions of s390 tell more of themselves, and in 7.3 of their errors. */
import {
  decode,
  encode,
  parseChain,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_FEATURE_ZPCI_ERROR,
  vfio_device_feature_zpci_err,
  VFIO_DEVICE_FLAGS_CAPS,
  VFIO_DEVICE_GET_INFO,
  vfio_device_info,
  vfio_device_info_cap_zpci_base,
  vfio_device_info_cap_zpci_group,
  VFIO_DEVICE_SET_IRQS,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_PCI_ERR_IRQ_INDEX,
} from '@vfiolab/uapi';
import { type Device, Passthrough } from './support/iommu-host.js';

const START = 0x1_0000_0000n;
const [GET, SET, PROBE] = [VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_PROBE];
const ROOM = 512;

async function boot(profile: string, iommu = 's390') {
  const b = await Passthrough.boot({ iommu, profile });
  return { b, device: await b.device() };
}

/** The reply to GET_INFO, and its chain. */
async function info(b: Passthrough, { fd }: Device, room: number) {
  const { out, tail } = await b.host.run(b.p.ioctl(fd, VFIO_DEVICE_GET_INFO, {}, { room }));
  const reply = new Uint8Array(vfio_device_info.size + tail.length);
  reply.set(tail, vfio_device_info.size);
  return { out, reply, caps: parseChain(reply, out.cap_offset) };
}

/** ZPCI_ERROR: the errno, and what came into the buffer. */
async function error(b: Passthrough, { fd }: Device, operation = GET, data = 0n) {
  const tail = encode(vfio_device_feature_zpci_err, { data });
  const flags = VFIO_DEVICE_FEATURE_ZPCI_ERROR | operation;
  return (await b.host.run(b.p.ioctl(fd, VFIO_DEVICE_FEATURE, { flags }, { tail }))).errno;
}

describe('103: capabilities of GET_INFO', () => {
  it('are ids 1 to 4, with the window and the numbers of the function', async () => {
    const { b, device } = await boot('7.3');
    const { out, reply, caps } = await info(b, device, ROOM);
    expect(out.flags & VFIO_DEVICE_FLAGS_CAPS).toBe(VFIO_DEVICE_FLAGS_CAPS);
    expect(caps.map(({ id, version }) => [id, version])).toEqual([
      [1, 2],
      [2, 2],
      [3, 1],
      [4, 1],
    ]);
    const [base, group, util, path] = caps;
    expect(decode(vfio_device_info_cap_zpci_base, reply, base!.offset)).toMatchObject({
      start_dma: START,
      end_dma: 0x1ff_ffff_ffffn,
      ccdf_err_length: 32,
    });
    expect(decode(vfio_device_info_cap_zpci_group, reply, group!.offset)).toMatchObject({ flags: 1n, version: 1 });
    const size = (cap: { body: Uint8Array }) => new DataView(cap.body.buffer, cap.body.byteOffset).getUint32(0, true);
    expect([size(util!), size(path!)]).toEqual([64, 4]);
  });

  it('too little room gets none, and is told how much there is to be had', async () => {
    const { b, device } = await boot('7.3');
    const { out, caps } = await info(b, device, 8);
    expect(out).toMatchObject({ cap_offset: 0, num_regions: 9 });
    expect(caps).toEqual([]);
    expect(out.flags & VFIO_DEVICE_FLAGS_CAPS).toBe(VFIO_DEVICE_FLAGS_CAPS);
    expect((await info(b, device, out.argsz - vfio_device_info.size)).caps).toHaveLength(4);
  });

  it('other machines have none', async () => {
    const { b, device } = await boot('7.3', 'intel-vtd');
    const { out } = await info(b, device, ROOM);
    expect([out.flags & VFIO_DEVICE_FLAGS_CAPS, out.cap_offset]).toEqual([0, 0]);
  });
});

describe('103: errors of a function', () => {
  it.each([
    ['7.2', 's390'],
    ['7.3', 'intel-vtd'],
  ])('%s on %s does not tell them: ENOTTY', async (profile, iommu) => {
    const { b, device } = await boot(profile, iommu);
    expect(await error(b, device)).toBe('ENOTTY');
    expect(await error(b, device, PROBE | GET)).toBe('ENOTTY');
  });

  it('7.3: ENOMSG without one; it is read, never set', async () => {
    const { b, device } = await boot('7.3');
    expect(await error(b, device)).toBe('ENOMSG');
    expect(await error(b, device, PROBE | GET)).toBeUndefined();
    expect(await error(b, device, SET)).toBe('EINVAL');
  });

  it('a refused DMA signals ERR, and its record is read once; at most four wait, also through a restart', async () => {
    const { b, device } = await boot('7.3');
    const [ioas, va] = [await b.ioas(), await b.memory(4096)];
    await b.attach(device, ioas);
    const event = await b.must(b.p.eventfd(0n));
    const irqs = { index: VFIO_PCI_ERR_IRQ_INDEX, flags: VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD };
    const tail = new Uint8Array(Int32Array.of(event).buffer);
    await b.host.run(b.p.ioctl(device.fd, VFIO_DEVICE_SET_IRQS, { ...irqs, count: 1 }, { tail }));
    for (let n = 0n; n < 5n; n++) await b.dma(device, START + n * 0x1000n, 4, n === 1n);
    expect(await b.must(b.p.eventRead(event))).toBe(5n);
    b.host.host.crash('device:0000:00:03_0', 5);
    const read = async () => {
      expect(await error(b, device, GET, BigInt(va))).toBeUndefined();
      const view = new DataView((await b.must(b.p.read(va, 32))).slice().buffer);
      return [view.getBigUint64(16, true), view.getUint32(12, true)];
    };
    expect(await read()).toEqual([START, 0]);
    expect(await read()).toEqual([START + 0x1000n, 0x8000_0000]);
    expect(await error(b, device, GET, 1n)).toBe('EFAULT');
    expect(await read()).toEqual([START + 0x3000n, 0]);
    expect(await error(b, device)).toBe('ENOMSG');
    expect(b.broken()).toEqual([]);
  });
});
