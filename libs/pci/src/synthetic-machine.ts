/**
 * Small machines for tests, each made for one rule. Not part of the library's exports.
 *
 * Rule: vendor 0x1234 has no quirk, so a machine behaves by the book unless a case says otherwise.
 */
import { computeGroups, type ComputeOptions } from './grouping.js';
import type { Acs, PciFunctionInit, PcieType } from './pci-function.js';
import { Topology, type TopologyInit } from './topology.js';

export const ALL_ON: Acs = { offset: 0x100, cap: 0x1f, ctrl: 0x1d, dwordCtrl: null, inferred: false };
export const ALL_OFF: Acs = { ...ALL_ON, ctrl: 0 };

export type Extra = Partial<PciFunctionInit>;

export const bridge = (
  bdf: string,
  secondary: number,
  pcieType: PcieType | null,
  extra: Extra = {},
): PciFunctionInit => ({
  bdf: `0000:${bdf}`,
  vendor: 0x1234,
  device: 1,
  classCode: 0x060400,
  headerType: 1,
  buses: { primary: null, secondary, subordinate: extra.buses?.subordinate ?? secondary },
  pcieType,
  ...extra,
});

export const device = (bdf: string, pcieType: PcieType | null, extra: Extra = {}): PciFunctionInit => ({
  bdf: bdf.length > 7 ? bdf : `0000:${bdf}`,
  vendor: 0x1234,
  device: 2,
  classCode: 0x020000,
  pcieType,
  ...extra,
});

/** Groups as text without the domain: `00:01.0 01:00.0 | 00:02.0`. */
export const groupsOf = (
  functions: PciFunctionInit[],
  options: ComputeOptions & Omit<TopologyInit, 'functions'> = {},
): string =>
  computeGroups(new Topology({ ...options, functions }), options)
    .map((group) => group.devices.map((bdf) => bdf.replace(/^0000:/, '')).join(' '))
    .join(' | ');

export const MULTI = { multifunction: true };
export const AMD_IOMMU = device('00:00.2', null, { vendor: 0x1022, classCode: 0x080600, ...MULTI });
