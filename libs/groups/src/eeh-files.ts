/**
 * Enhanced error handling (EEH) of POWER, as a function's directory shows it. [eeh_sysfs.c, eeh-powernv.c]
 *
 * Rule: the files are there where the platform handles errors: on bare metal. Ports are in PEs too, those of their buses, and
 * nothing freezes them here.
 */
import { call, IOMMU, iommuApi, type Op, PE_DMA, PE_IO } from '@vfiolab/core';
import { endpointNumber, type PciFunction } from '@vfiolab/pci';
import { ok } from '@vfiolab/uapi';
import type { Device, Host } from './host.js';
import { type Node, text } from './nodes.js';

const MODE = { bridge: 0x1, rootPort: 0x2, downstreamPort: 0x4, inSysfs: 0x200 } as const;
/** Of a PE: DMA and accesses of the processor are on, and get through. */
const MMIO = 0x28;
const DMA = 0x50;
/** It is the bus that the kernel has written down for it. */
const PRIMARY_BUS = 0x800;

function modeOf({ headerType, pcieType }: PciFunction): number {
  if (headerType !== 1) return MODE.inSysfs;
  const port = pcieType === 'root_port' ? MODE.rootPort : pcieType === 'downstream' ? MODE.downstreamPort : 0;
  return MODE.inSysfs | MODE.bridge | port;
}

const hex = (value: number, digits = 1): string => `0x${value.toString(16).padStart(digits, '0')}`;

export function eehFiles({ iommu, topology }: Host, { bdf, facts, group }: Device): Record<string, () => Node> {
  const { endpoints } = iommu;
  if (endpoints !== 'bus') return {};
  function* showState(): Op<string> {
    const frozen = group ? yield* call(IOMMU, iommuApi.endpointOp, { bdf, op: 'state' }) : 0;
    const state = (frozen & PE_IO ? 0 : MMIO) | (frozen & PE_DMA ? 0 : DMA);
    return `${hex(state, 8)} ${hex(PRIMARY_BUS, 8)}\n`;
  }
  return {
    eeh_mode: () => text(() => hex(modeOf(facts))),
    eeh_pe_config_addr: () => text(() => hex(endpointNumber(topology, endpoints, facts))),
    // A write thaws a PE that the kernel has taken away from its driver, which it does to none here.
    eeh_pe_state: () => ({ kind: 'attribute', show: showState, store: () => ok(undefined) }),
  };
}
