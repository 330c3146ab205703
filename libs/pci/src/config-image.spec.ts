import { readdirSync, readFileSync } from 'node:fs';
import { configImage } from './config-image.js';
import { decodeConfig } from './config-space.js';
import { importTopology } from './import-topology.js';
import { pciFunction } from './pci-function.js';

const MACHINES = new URL('../../../test/machines/', import.meta.url);
const files = readdirSync(MACHINES).filter((name) => name.endsWith('.json'));

it.each(files)('what is read of the made config space is what is known: %s', (file) => {
  for (const f of importTopology(readFileSync(new URL(file, MACHINES), 'utf8')).functions) {
    if (f.config) continue;
    const read = decodeConfig(configImage(f))!;
    expect([f.bdf, read.classCode, read.headerType, read.multifunction]).toEqual([
      f.bdf,
      f.classCode ?? 0,
      f.headerType,
      f.multifunction,
    ]);
    expect([f.bdf, read.express?.type ?? null]).toEqual([f.bdf, f.pcieType]);
    if (f.headerType !== 0 && f.buses) expect(read.buses).toEqual({ ...f.buses, primary: f.buses.primary ?? f.bus });
    if (f.acs) expect([read.acs!.cap, read.acs!.ctrl]).toEqual([f.acs.cap ?? 0, f.acs.ctrl ?? 0]);
    if (f.sriov) expect(read.sriov).toEqual({ ...f.sriov, vfDevice: f.sriov.vfDevice ?? 0 });
    if (!f.isVf) expect([read.vendor, read.device]).toEqual([f.vendor ?? 0xffff, f.device ?? 0xffff]);
  }
});

it.each([64, 256, 4096])('recorded bytes are kept: %i of them', (length) => {
  const config = Uint8Array.from({ length }, (_, i) => (i === 0x06 ? 0x10 : i === 0x0e ? 0 : i % 251));
  const image = configImage(pciFunction({ bdf: '0000:01:00.0', config, pcieType: 'endpoint' }));
  expect(image.length).toBe(4096);
  const kept = length === 64 ? 0x34 : length;
  expect(Buffer.from(image.subarray(0, kept))).toEqual(Buffer.from(config.subarray(0, kept)));
});

it('a conventional function has 256 bytes', () => {
  expect(configImage(pciFunction({ bdf: '0000:01:00.0' })).length).toBe(256);
});

it('a VF shows no ids of its own', () => {
  const image = configImage(pciFunction({ bdf: '0000:01:00.1', isVf: true, vendor: 0x8086, device: 0x10ca }));
  expect([...image.subarray(0, 4)]).toEqual([0xff, 0xff, 0xff, 0xff]);
});

it('a bridge keeps its subsystem in a capability', () => {
  const buses = { primary: 0, secondary: 1, subordinate: 1 };
  const f = pciFunction({
    bdf: '0000:00:01.0',
    headerType: 1,
    buses,
    subsystemVendor: 0x1043,
    subsystemDevice: 0x8694,
  });
  expect(decodeConfig(configImage(f))!.subsystem).toEqual({ vendor: 0x1043, device: 0x8694 });
});
