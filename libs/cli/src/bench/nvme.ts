/**
 * Reads of a disk of a lab by a driver in this process: what a guest's driver does, without a guest.
 *
 * Rule: every page that is read is looked at: it must be the one that was written there.
 */
import { fileURLToPath } from 'node:url';
import { NvmeDriver, Pinger, READ, WRITE } from '@vfiolab/vfio-user';
import { type Figure, figure } from './bench.js';
import { withServers } from './served.js';

const MACHINE = fileURLToPath(new URL('../../../../test/e2e/qemu/nvme.json', import.meta.url));
const DISK = '0000:01:00.0';
const PAGE = 4096;
/** Pages of the disk that are read, in an order that jumps about. */
const PAGES = 1024;
const STRIDE = 389;
const READS = 20_000;
const ANSWERS = 10_000;
const BLOCKS = 5;

const blockOf = (i: number): number => (i * STRIDE) % PAGES;

/** So many per second. */
function rate(count: number, work: () => void): number {
  const began = performance.now();
  work();
  return (count * 1000) / (performance.now() - began);
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;

function fill(pinger: Pinger, driver: NvmeDriver): void {
  // One at a time: the page of a slot is written before its command is.
  for (let page = 0; page < PAGES; page++) {
    const bytes = new Uint8Array(PAGE).fill(page);
    new DataView(bytes.buffer).setUint32(0, page, true);
    driver.ram.write(driver.dataAt(0), bytes);
    pinger.run(driver.move(WRITE, 1, 1, () => page));
  }
}

function reads(pinger: Pinger, driver: NvmeDriver, count: number, depth: number): number {
  const head = new Uint8Array(8);
  return rate(count, () =>
    pinger.run(
      driver.move(READ, count, depth, blockOf, (slot, i) => {
        driver.ram.readInto(driver.dataAt(slot), head);
        const page = blockOf(i);
        if (head[0] !== (page & 0xff) || head[1] !== page >>> 8 || head[7] !== (page & 0xff))
          throw new Error(`page ${page} of the disk was read as another one`);
      }),
    ),
  );
}

export function nvme(): Promise<Figure[]> {
  return withServers(MACHINE, DISK, (plain, lab) => {
    const base = new Pinger(plain, { speaks: false });
    const message = Pinger.read(0, 0, 4);
    const answers: number[] = [];
    const figures = (['polling', 'eventfd'] as const).flatMap((way) => {
      const pinger = new Pinger(lab);
      const driver = new NvmeDriver(way);
      pinger.run(driver.start());
      if (way === 'polling') fill(pinger, driver);
      const found = [1, 32].map((depth) => {
        reads(pinger, driver, READS / 10, depth);
        const rates: number[] = [];
        for (let i = 0; i < BLOCKS; i++) {
          answers.push(
            rate(ANSWERS, () => {
              for (let n = 0; n < ANSWERS; n++) base.call(message);
            }),
          );
          rates.push(reads(pinger, driver, READS / BLOCKS, depth));
        }
        return { way, depth, value: median(rates) };
      });
      pinger.close();
      driver.free();
      return found;
    });
    base.close();
    return figures.map(({ way, depth, value }) =>
      figure(
        `reads of 4 KiB, queue depth ${depth}, completions by ${way}`,
        value,
        '1/s',
        'messages that a server in C only answers',
        median([...answers]),
      ),
    );
  });
}
