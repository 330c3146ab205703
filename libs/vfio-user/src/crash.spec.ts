/** Services of the lab are killed and restarted while a driver has commands under way. */
import { deviceAddress, IOMMU } from '@vfiolab/core';
import { VfioUserClient } from './client.js';
import { NvmeDriver, READ, WRITE } from './nvme-driver.js';
import { ENGINE, Rig } from './testing/rig.js';

const [MSI, PAGE, PAGES] = [1, 4096, 120];
const DEVICE = deviceAddress(ENGINE);

/** Writes all pages, then reads them back, with one seed for each round. */
async function round(client: VfioUserClient, driver: NvmeDriver, seed: number): Promise<void> {
  const valueOf = (i: number): number => (i * 7 + seed) & 0xff;
  for (let from = 0; from < PAGES; from += 30) {
    for (let slot = 0; slot < 30; slot++)
      driver.ram.write(driver.dataAt(slot), new Uint8Array(PAGE).fill(valueOf(from + slot)));
    // Free slots are taken from the last to the first.
    await client.run(driver.move(WRITE, 30, 30, (i) => from + 29 - i));
  }
  const wrong: number[] = [];
  await client.run(
    driver.move(
      READ,
      PAGES,
      32,
      (i) => i,
      (slot, i) => {
        const bytes = new Uint8Array(PAGE);
        driver.ram.readInto(driver.dataAt(slot), bytes);
        if (!bytes.every((byte) => byte === valueOf(i))) wrong.push(i);
      },
    ),
  );
  expect(wrong).toEqual([]);
}

it.each(['polling', 'eventfd'] as const)(
  'a disk under load outlives its device service and the IOMMU, completions by %s',
  async (way) => {
    const rig = await Rig.start({ model: 'nvme', durability: 'process' });
    const client = await VfioUserClient.open(rig.path);
    const driver = new NvmeDriver(way, MSI);
    await client.run(driver.start());
    const crashes = [
      { service: DEVICE, method: 'sys.pwrite', at: 'request' },
      { service: DEVICE, method: 'sys.pwrite', at: 'answer' },
      { service: IOMMU, method: 'iommu.dma', at: 'request' },
      { service: IOMMU, method: 'iommu.dma', at: 'answer' },
    ] as const;
    for (const [i, crash] of crashes.entries()) {
      const back = rig.lab.crash({ ...crash, nth: 17 + i, downMs: 30 });
      await round(client, driver, i);
      await back;
      // What was there before is still there.
      await round(client, driver, i + 100);
    }
    client.close();
    driver.free();
    expect(await rig.quiet()).toEqual({});
    expect(await rig.end()).toEqual([]);
  },
  120_000,
);
