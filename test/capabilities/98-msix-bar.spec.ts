import { VFIO_DEVICE_GET_REGION_INFO } from '@vfiolab/uapi';
import { BAR_SIZE, Host } from './support/passthrough.js';

const MSIX = 2;
const TABLE = BAR_SIZE - 8192;
const [MAPPABLE, CAPS] = [4, 8];
const MSIX_MAPPABLE = 3;

it('98: the BAR with the MSI-X table says so, and all of it can be mapped', async () => {
  const host = await Host.boot();
  const p = await host.program('vmm');
  const d = await p.device();
  const room = { argsz: 64, index: 0 };
  const { out, tail } = await p.host.run(p.process.ioctl(d.fd, VFIO_DEVICE_GET_REGION_INFO, room, { room: 32 }));
  expect([out.flags & MAPPABLE, out.flags & CAPS]).toEqual([MAPPABLE, CAPS]);
  expect([out.cap_offset, tail[0]]).toEqual([32, MSIX_MAPPABLE]);
  const va = await p.must(p.process.mapDevice(d.fd, 0, BAR_SIZE));
  // Through the file the table is hidden; a process that maps it sees what the host put there.
  expect([...(await p.must(p.process.pread(d.fd, TABLE, 16)))]).toEqual(Array(16).fill(0xff));
  await p.must(p.process.pwrite(d.fd, TABLE, new Uint8Array(16)));
  const irq = await p.eventfd();
  expect(await d.setIrqs(MSIX, 0, [irq, -1])).toBeUndefined();
  const words = async (vector: number) => {
    const bytes = await p.must(p.process.load(va + TABLE + 16 * vector, 4, 4));
    return [...new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + 16))];
  };
  // A message names its entry in the table of VT-d's interrupt remapping: handles 0 and 1.
  expect([await words(0), await words(1), await words(2)]).toEqual([
    [0xfee00018, 0, 0, 0],
    [0xfee00038, 0, 0, 1],
    [0, 0, 0, 1],
  ]);
  expect([...(await p.must(p.process.pread(d.fd, TABLE + 8 * 16, 8)))]).toEqual(Array(8).fill(0));
});
