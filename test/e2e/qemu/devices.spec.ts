import { readFileSync } from 'node:fs';
import { VfioUserClient } from '@vfiolab/vfio-user';
import { boot, type Booted, whatIsMissing } from './support/guest.js';
import { description, headline, readConfig } from './support/lspci.js';
import { ServedMachine } from './support/served-machine.js';

const missing = whatIsMissing();
const inQemu = missing === '' ? it : it.skip;
const name = (words: string): string => (missing === '' ? words : `${words} (skipped: ${missing})`);
const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const MINUTES = 60_000;
const CONFIG = 7;

/** The function's config space as the lab has it before a guest touches it. */
async function configOf({ path }: ServedMachine, bytes: number): Promise<Uint8Array> {
  const client = await VfioUserClient.open(path);
  const { payload } = await client.read(CONFIG, 0, bytes);
  client.close();
  return payload;
}

/** Boots a guest with the function, and looks that it left nothing in the lab. */
async function inGuest(
  description: string,
  bdf: string,
  ids: string,
  bytes: number,
  options: Parameters<typeof boot>[2] = {},
): Promise<{ guest: Booted; config: Uint8Array }> {
  const served = await ServedMachine.start(description, bdf);
  try {
    const config = await configOf(served, bytes);
    const guest = await boot(served.path, ids, options);
    if (guest.values('guest').at(-1) !== 'done') throw new Error(guest.text);
    expect(await served.quiet()).toEqual({});
    return { guest, config };
  } finally {
    expect(await served.end()).toEqual([]);
  }
}

function expectSame(guest: Booted, config: Uint8Array): void {
  const lab = readConfig(config);
  expect(headline(guest.lspci)).toBe(headline(lab));
  expect(description(guest.lspci)).toEqual(description(lab));
}

inQemu(
  name("a guest sees the lab's device as it is, moves memory with it and has its interrupts"),
  async () => {
    const { guest, config } = await inGuest(read('./edu.json'), '0000:00:03.0', '1234:11e8', 256);
    expectSame(guest, config);
    expect(guest.lspci).toContain('[size=1M]');
    expect(guest.values('identification')).toEqual(['010000ed']);
    expect(guest.values('liveness')).toEqual(['edcba987']);
    expect(guest.values('factorial')).toEqual(['3628800']);
    expect(guest.values('dma')).toEqual(['same']);
    expect(guest.values('interrupt')).toEqual(['1 status 1', '2 status 2', '3 status 3']);
  },
  3 * MINUTES,
);

inQemu(
  name('a guest sees a GPU of a real machine: capabilities, large BARs, MSI'),
  async () => {
    const machine = read('../../machines/lambda-vector-wrx80-a.json');
    const { guest, config } = await inGuest(machine, '0000:41:00.0', '10de:2230', 4096);
    expectSame(guest, config);
  },
  3 * MINUTES,
);

const needs = missing === '' ? it.each : it.skip.each;
needs([
  ['', false],
  [', which has an IOMMU of its own', true],
])(
  name("the guest's own nvme driver reads and writes a disk of the lab, with MSI-X%s"),
  async (_words, viommu) => {
    const options = { modules: ['nvme-auth', 'nvme-core', 'nvme'], viommu };
    const { guest, config } = await inGuest(read('./nvme.json'), '0000:01:00.0', '1b36:0010', 4096, options);
    expectSame(guest, config);
    expect(guest.values('iommu')).toEqual([viommu ? 'yes' : 'no']);
    expect(guest.values('disk')).toEqual([String(64 << 20)]);
    const sizes = [512, 4096, 8192, 12288, 65536, 131072, 1 << 20];
    expect(guest.values('io')).toEqual(sizes.map((bytes) => `${bytes} same`));
    expect(guest.values('last')).toEqual(['1']);
    expect(guest.values('discard')).toEqual(['zero']);
  },
  3 * MINUTES,
);
