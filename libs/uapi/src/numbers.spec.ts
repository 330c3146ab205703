/** Every number against measured facts (test/constants.json, test/ioctls.json; ioctls there are keyed in lower case). */
import { readFileSync } from 'node:fs';
import * as uapi from './index.js';
import type { AnyIoctlDef, KernelProfile } from './index.js';
import {
  compatIoctls,
  containerIoctls,
  deviceIoctls,
  groupIoctls,
  indexTable,
  ioctlsByName,
  iommufdIoctls,
  kernelProfiles,
  kvmDeviceIoctls,
  kvmVmIoctls,
  labIoctls,
  migrationIoctls,
  spaprIoctls,
  type1Ioctls,
  uiommuIoctls,
} from './index.js';

type IoctlFact = {
  nr: number;
  fd: string;
  on: KernelProfile[];
  struct?: string;
  minSize?: number;
  sizes?: number[];
};

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../test/${name}`, import.meta.url), 'utf8'));
const constants = read('constants.json') as Record<string, number | string>;
const facts = read('ioctls.json') as Record<string, IoctlFact>;

describe('constants', () => {
  it('each constant of the headers has its measured value', () => {
    const ours = Object.fromEntries(
      Object.keys(constants).map((name) => [name, (uapi as Record<string, unknown>)[name]]),
    );
    expect(ours).toEqual(constants);
  });
});

describe('ioctls', () => {
  const ofKernels = [...ioctlsByName].filter(([name]) => !(name in labIoctls));
  const byLowerName = new Map(ofKernels.map(([name, def]) => [name.toLowerCase(), def]));

  it('all ioctls of the headers are defined, and no other', () => {
    const ofNoKernel = Object.keys(uiommuIoctls).map((name) => name.toLowerCase());
    expect([...byLowerName.keys()].sort()).toEqual([...Object.keys(facts), ...ofNoKernel].sort());
  });

  it.each(Object.entries(facts))('%s has its number, fd, struct and sizes on every kernel', (name, fact) => {
    const def = byLowerName.get(name)!;
    expect(def.name.toLowerCase()).toBe(name);
    expect({ nr: def.nr, fd: def.fd }).toEqual({ nr: fact.nr, fd: fact.fd });
    expect(def.kind === 'struct' ? def.struct.name : undefined).toBe(fact.struct);
    if (def.kind === 'plain') return;
    const known = kernelProfiles.filter((profile) => def.forms[profile]);
    expect(known).toEqual(fact.on);
    expect(known.map((profile) => def.forms[profile]!.size)).toEqual(fact.sizes);
  });

  it.each(Object.entries(facts).filter(([, fact]) => fact.struct))(
    '%s has its measured minimum on 7.3',
    (name, fact) => {
      const def = byLowerName.get(name)!;
      expect(def.kind === 'struct' && def.forms['7.3']!.minSize).toBe(fact.minSize);
    },
  );

  it.each(Object.entries({ iommufdIoctls, containerIoctls, groupIoctls, deviceIoctls, migrationIoctls }))(
    '%s: all members are of one fd kind',
    (_name, set) => expect(new Set(Object.values<AnyIoctlDef>(set).map((def) => def.fd)).size).toBe(1),
  );

  it.each([
    ['iommufd with compatibility', { ...iommufdIoctls, ...compatIoctls }],
    ['type1 container', { ...containerIoctls, ...type1Ioctls }],
    ['SPAPR container', { ...containerIoctls, ...spaprIoctls }],
    ['group', groupIoctls],
    ['device', deviceIoctls],
    ['migration data fd', migrationIoctls],
    ['VM', { ...kvmVmIoctls, ...labIoctls }],
    ['VFIO device of a VM', kvmDeviceIoctls],
  ])('%s: numbers are unique', (_name, set) => {
    const numbers = Object.values<AnyIoctlDef>(set).map((def) => def.nr);
    expect(new Set(numbers).size).toBe(numbers.length);
  });

  it('these write outputs on failure too', () => {
    const names = [...ioctlsByName.values()].filter((def) => def.kind === 'struct' && def.copyBackOnFailure);
    expect(names.map((def) => def.name).sort()).toEqual([
      'IOMMU_HWPT_INVALIDATE',
      'IOMMU_IOAS_IOVA_RANGES',
      'VFIO_DEVICE_GET_PCI_HOT_RESET_INFO',
      'VFIO_IOMMU_UNMAP_DMA',
    ]);
  });

  it('the compatibility set has no dirty tracking: ENOTTY', () => {
    expect(Object.keys(type1Ioctls).filter((name) => !(name in compatIoctls))).toEqual(['VFIO_IOMMU_DIRTY_PAGES']);
  });

  it('two ioctls with one number cannot share a front door', () => {
    const row = (ioctl: AnyIoctlDef) => ({ ioctl, execute: () => 0 });
    expect(() =>
      indexTable({ a: row(type1Ioctls.VFIO_IOMMU_GET_INFO), b: row(spaprIoctls.VFIO_IOMMU_SPAPR_TCE_GET_INFO) }),
    ).toThrow('VFIO_IOMMU_GET_INFO and VFIO_IOMMU_SPAPR_TCE_GET_INFO share number 0x3b70');
  });

  it('a row is found by number, and an unknown number finds none', () => {
    const row = { ioctl: iommufdIoctls.IOMMU_IOAS_MAP, execute: () => 0 };
    const index = indexTable({ row });
    expect(uapi.findRow(index, 0x3b85)).toBe(row);
    expect(uapi.findRow(index, 0x3b86)).toBeUndefined();
  });
});
