import { VfioUserClient } from './client.js';
import { NvmeDriver, READ, WRITE } from './nvme-driver.js';
import { Rig } from './testing/rig.js';

const PAGE = 4096;
const [MSI, PAGES] = [1, 200];

it.each(['polling', 'eventfd'] as const)(
  'a driver without a guest writes and reads a disk of the lab, completions by %s',
  async (way) => {
    const rig = await Rig.start({ model: 'nvme' });
    const client = await VfioUserClient.open(rig.path);
    const driver = new NvmeDriver(way, MSI);
    await client.run(driver.start());
    for (let page = 0; page < PAGES; page++) {
      driver.ram.write(driver.dataAt(0), new Uint8Array(PAGE).fill(page + 1));
      await client.run(driver.move(WRITE, 1, 1, () => page));
    }
    for (const depth of [1, 7, 32, 63]) {
      const found: number[] = [];
      // Several passes through the rings, so that they turn over.
      await client.run(
        driver.move(
          READ,
          PAGES,
          depth,
          (i) => (i * 37) % PAGES,
          (slot, i) => {
            const bytes = new Uint8Array(PAGE);
            driver.ram.readInto(driver.dataAt(slot), bytes);
            expect(bytes.every((byte) => byte === (((i * 37) % PAGES) + 1) % 256)).toBe(true);
            found.push(i);
          },
        ),
      );
      expect(found.sort((a, b) => a - b)).toEqual(Array.from({ length: PAGES }, (_, i) => i));
    }
    await expect(client.run(driver.move(READ, 1, 1, () => (64 << 20) / PAGE))).rejects.toThrow('status 0x80');
    client.close();
    driver.free();
    expect(await rig.quiet()).toEqual({});
    expect(await rig.end()).toEqual([]);
  },
);
