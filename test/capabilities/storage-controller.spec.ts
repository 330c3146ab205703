/** An NVMe controller in the hands of a program: queues and data in its memory, through the IOMMU. */
import { deviceAddress, IOMMU } from '@vfiolab/core';
import { IOMMU_IOAS_UNMAP } from '@vfiolab/uapi';
import { NvmeDriver, PAGE } from './support/nvme-driver.js';
import { BDFS, Host, NOTHING } from './support/passthrough.js';

const MSIX = 2;
const [BDF] = BDFS;
const DATA_TRANSFER_ERROR = 4;
const FATAL = 2n;

const sent = Buffer.from(Uint8Array.from({ length: PAGE }, (_, i) => (i * 31 + (i >>> 8)) & 0xff));

it('what a program writes it reads back, and its vector tells of each command', async () => {
  const host = await Host.boot({ model: 'nvme' });
  const program = await host.program('driver');
  const driver = await NvmeDriver.start(program, BDF);
  const event = await program.eventfd();
  expect(await driver.device.setIrqs(MSIX, 0, [-1, event])).toBeUndefined();
  expect(await driver.write(4096, sent)).toBe(0);
  expect(await driver.read(4096, PAGE)).toEqual(sent);
  expect(await program.count(event)).toBe(2);
  expect(await host.afterwards(program)).toEqual(NOTHING);
});

it('data that are not mapped are an error of the command, a ring that is not is fatal', async () => {
  const host = await Host.boot({ model: 'nvme' });
  const program = await host.program('driver');
  const driver = await NvmeDriver.start(program, BDF);
  const outside = { opcode: 2, prp1: 0x900000n, dwords: [0, 0, 0] };
  expect(await driver.run(1, outside)).toBe(DATA_TRANSFER_ERROR);
  const all = { ioas_id: program.ioas, iova: 0n, length: 2n ** 64n - 1n };
  await program.ioctl(program.iommufd, IOMMU_IOAS_UNMAP, all);
  await expect(driver.run(1, { opcode: 0 })).rejects.toThrow('no completion');
  expect((await driver.status()) & FATAL).toBe(FATAL);
  expect(await host.afterwards(program)).toEqual(NOTHING);
});

it.each([
  ['the device', deviceAddress(BDF)],
  ['the IOMMU', IOMMU],
])(
  '%s is killed between and in the middle of commands: each is done once, and nothing that was stored is lost',
  async (_who, address) => {
    const host = await Host.boot({ model: 'nvme' });
    const program = await host.program('driver');
    const driver = await NvmeDriver.start(program, BDF);
    for (let n = 0; n < 6; n++) {
      const data = Buffer.alloc(PAGE, n + 1);
      const writing = driver.write(8 * n, data);
      host.host.host.crash(address, 5);
      expect(await writing).toBe(0);
    }
    for (let n = 0; n < 6; n++) expect(await driver.read(8 * n, PAGE)).toEqual(Buffer.alloc(PAGE, n + 1));
    expect(await host.afterwards(program)).toEqual(NOTHING);
  },
);

it('what is stored is there for the next program, after a reset, and after the driver was unbound and bound again', async () => {
  const host = await Host.boot({ model: 'nvme' });
  const first = await host.program('first');
  expect(await (await NvmeDriver.start(first, BDF)).write(0, sent)).toBe(0);
  expect(await host.afterwards(first)).toEqual(NOTHING);
  const operator = await host.program('operator-of-drivers');
  for (const file of ['unbind', 'bind'])
    await operator.must(operator.process.sysfsWrite(`/sys/bus/pci/drivers/vfio-pci/${file}`, BDF));
  const second = await host.program('second');
  expect(await (await NvmeDriver.start(second, BDF)).read(0, PAGE)).toEqual(sent);
  expect(await host.afterwards(second)).toEqual(NOTHING);
});
