import { readFileSync } from 'node:fs';
import { whatIsMissing } from './support/guest.js';
import { expectSame, inGuest } from './support/in-guest.js';

const missing = whatIsMissing();
const inQemu = missing === '' ? it : it.skip;
const name = (words: string): string => (missing === '' ? words : `${words} (skipped: ${missing})`);
const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const MINUTES = 60_000;

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

/** The lab's machine with VF 0 of its second disk already there. */
function withVf(): string {
  const machine = JSON.parse(read('../../machines/storage-lab.json')) as { functions: Record<string, unknown>[] };
  const pf = machine.functions.find(({ bdf }) => bdf === '0000:02:00.0')!;
  const bars = (pf['bars'] as { vf?: boolean }[]).filter(({ vf }) => !vf);
  const vf = { ...pf, bdf: '0000:02:01.0', vf_of: pf['bdf'], bars, sriov: undefined };
  pf['sriov'] = { ...(pf['sriov'] as object), num: 1 };
  return JSON.stringify({ ...machine, functions: [...machine.functions, vf] });
}

inQemu(
  name("the guest's own nvme driver reads and writes the disk that a VF is"),
  async () => {
    const options = { modules: ['nvme-auth', 'nvme-core', 'nvme'] };
    const { guest } = await inGuest(withVf(), '0000:02:01.0', '1b36:0010', 4096, options);
    expect(guest.values('disk')).toEqual([String(64 << 20)]);
    expect(guest.values('io')).toContain('1048576 same');
    expect(guest.values('last')).toEqual(['1']);
  },
  3 * MINUTES,
);
