/**
 * Every kind of IOMMU that a machine's description may name is one that a host is made with, and DMA goes through it.
 */
import { readFileSync } from 'node:fs';
import { MACHINE_IOMMUS } from '@vfiolab/pci';
import { iommuOf } from '@vfiolab/scenario';
import { Passthrough, text } from './support/iommu-host.js';
import { TestHost } from '@vfiolab/sim';

const KINDS = MACHINE_IOMMUS.filter((kind) => kind !== 'off' && kind !== 'unknown');
const IOVA = 0x1_4000_0000n;
const described = (type: string) =>
  JSON.stringify({ format: 'pci-topology-fixture/1', id: 'x', iommu: { type }, functions: [{ bdf: '0000:00:03.0' }] });

it.each(KINDS)('%s: from a description to a scenario', (kind) => {
  expect(iommuOf(described(kind))).toBe(kind);
});

it('a description without one leaves it to the scenario; off is none', () => {
  expect([iommuOf(described('unknown')), iommuOf(described('off'))]).toEqual([undefined, 'none']);
});

it('a scenario may name each of them', () => {
  const schema = readFileSync(new URL('../../libs/scenario/schema/scenario.schema.json', import.meta.url), 'utf8');
  const { properties } = JSON.parse(schema) as {
    properties: { host: { properties: { iommu: { enum: string[] } } } };
  };
  expect([...properties.host.properties.iommu.enum].sort()).toEqual([...KINDS].sort());
});

const hasCdevs = (kind: string): boolean => kind !== 'none' && !kind.startsWith('ppc64');

it.each(KINDS.filter(hasCdevs))('%s: DMA goes through', async (iommu) => {
  const b = await Passthrough.boot({ iommu, allowUnsafeInterrupts: iommu === 'virtio-iommu' });
  const [device, ioas, va] = [await b.device(), await b.ioas(), await b.memory(8192)];
  expect(await b.attach(device, ioas)).toBeUndefined();
  expect(await b.map(ioas, IOVA, va, 8192n)).toBeUndefined();
  await b.poke(va, text('through'));
  await b.copy(device, IOVA, IOVA + 0x1000n, 7);
  expect(await b.peek(va + 0x1000, 7)).toBe('through');
  await b.dma(device, IOVA + 0x2000n, 1, false);
  expect((await b.faults(device)).map(({ reason }) => reason)).toEqual(['not mapped']);
  expect(b.broken()).toEqual([]);
});

it.each(KINDS.filter((kind) => !hasCdevs(kind)))('%s: no node of a single device', async (iommu) => {
  const machine = readFileSync(new URL('../machines/imac-cometlake.json', import.meta.url), 'utf8');
  const host = await TestHost.boot({ machine, iommu });
  const p = await host.process('program');
  expect(await host.run(p.listdir('/dev/vfio/devices'))).toMatchObject({ errno: 'ENOENT' });
  expect(host.broken()).toEqual([]);
});
