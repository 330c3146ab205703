/** A guest works on a disk of the lab while something goes wrong around it. */
import { readFileSync } from 'node:fs';
import { deviceAddress, IOMMU } from '@vfiolab/core';
import { NvmeDriver, READ, VfioUserClient } from '@vfiolab/vfio-user';
import { boot, type BootOptions, whatIsMissing } from './support/guest.js';
import { ServedMachine } from './support/served-machine.js';

const missing = whatIsMissing();
const inQemu = missing === '' ? it : it.skip;
const name = (words: string): string => (missing === '' ? words : `${words} (skipped: ${missing})`);
const MINUTES = 60_000;
const DISK = '0000:01:00.0';
const MACHINE = readFileSync(new URL('./nvme.json', import.meta.url), 'utf8');
const MODULES = ['nvme-auth', 'nvme-core', 'nvme'];
const [BLOCK, PAGE, WORKED] = [512, 4096, 1 << 21];

/** Nothing may be left in the lab, whatever happened. */
async function withDisk(test: (served: ServedMachine) => Promise<void>): Promise<void> {
  const served = await ServedMachine.start(MACHINE, DISK, { journaled: true });
  try {
    await test(served);
    expect(await served.quiet()).toEqual({});
  } finally {
    expect(await served.end()).toEqual([]);
  }
}

const work = (served: ServedMachine, rounds: number, hear: NonNullable<BootOptions['hear']>) =>
  boot(served.path, '1b36:0010', { modules: MODULES, rounds, hear });

/** `round`: the one that wrote it; undefined: any, or none at all. */
function isBlock(bytes: Uint8Array, number: number, round: number | undefined): boolean {
  if (round === undefined && bytes.every((byte) => byte === 0)) return true;
  const [named, wrote] = [0, 4].map((at) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true));
  const fill = (number * 31 + wrote!) & 0xff;
  return named === number && wrote === (round ?? wrote) && bytes.subarray(8).every((byte) => byte === fill);
}

/** Blocks of the disk that no guest can have written like that. */
async function wrongBlocks({ path }: ServedMachine, round?: number): Promise<number[]> {
  const client = await VfioUserClient.open(path);
  const driver = new NvmeDriver();
  await client.run(driver.start());
  const wrong: number[] = [];
  const page = new Uint8Array(PAGE);
  const look = (slot: number, i: number): void => {
    driver.ram.readInto(driver.dataAt(slot), page);
    for (let at = 0; at < PAGE; at += BLOCK) {
      const number = (i * PAGE + at) / BLOCK;
      if (!isBlock(page.subarray(at, at + BLOCK), number, round)) wrong.push(number);
    }
  };
  await client.run(driver.move(READ, WORKED / PAGE, 16, (i) => i, look));
  client.close();
  driver.free();
  return wrong;
}

inQemu(
  name(
    'a guest goes on with its disk while the device service and the IOMMU are killed, and when it was stopped itself',
  ),
  () =>
    withDisk(async (served) => {
      const rounds = 12;
      const [device, back]: [string, Promise<unknown>[]] = [deviceAddress(DISK), []];
      const crashes = new Map([
        ['work: 1 same', { service: device, method: 'sys.pwrite', at: 'request', nth: 3 }],
        ['work: 3 same', { service: device, method: 'sys.pwrite', at: 'answer', nth: 10 }],
        ['work: 5 same', { service: IOMMU, method: 'iommu.dma', at: 'answer', nth: 40 }],
        ['work: 7 same', { service: device, method: 'sys.pwrite', at: 'answer', nth: 5 }],
      ] as const);
      let refused = '';
      const guest = await work(served, rounds, (line, signal) => {
        const crash = crashes.get(line as 'work: 1 same');
        if (crash) back.push(served.lab.crash({ ...crash, downMs: 300 }));
        if (line !== 'work: 9 same') return;
        // The lab goes on without the VMM, which has the device all the same.
        signal('SIGSTOP');
        const other = VfioUserClient.open(served.path).then(
          () => 'taken',
          (error: Error) => error.message,
        );
        back.push(other.then((said) => (refused = said)));
        setTimeout(() => signal('SIGCONT'), 2000);
      });
      expect(guest.values('work')).toEqual(Array.from({ length: rounds }, (_, i) => `${i + 1} same`));
      expect(guest.values('guest').at(-1)).toBe('done');
      await Promise.all(back);
      expect(back).toHaveLength(5);
      expect(refused).toContain('EINVAL');
      expect(await served.quiet()).toEqual({});
      expect(await wrongBlocks(served, rounds)).toEqual([]);
    }),
  3 * MINUTES,
);

inQemu(
  name('QEMU is killed in the middle of its I/O: nothing is left, and every block is one that was written'),
  () =>
    withDisk(async (served) => {
      const guest = await work(served, 1000, (line, signal) => {
        if (line === 'work: 2 same') setTimeout(() => signal('SIGKILL'), 137);
      });
      expect(guest.values('work').slice(0, 2)).toEqual(['1 same', '2 same']);
      expect(guest.values('guest').at(-1)).toBe('up');
      expect(await served.quiet()).toEqual({});
      expect(await wrongBlocks(served)).toEqual([]);
    }),
  3 * MINUTES,
);
