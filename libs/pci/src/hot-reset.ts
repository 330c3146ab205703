/**
 * What a reset of a whole slot or bus hits (semantics A3.10, D6.3).
 *
 * Words: the *reach* of a function's hot reset is every function that it hits. A *slot* is a hot-plug slot that can be reset
 * by itself: that of a PCI Express port, which is device 0 of the bus below.
 * Rule: a slot that can be reset goes before the bus; a bus is reset by the bridge that leads to it, so a root bus and a
 * virtual bus are not. One function that does not survive it keeps all others from it. [pci.c, pciehp]
 */
import { standardCaps } from './config-space.js';
import type { PciFunction } from './pci-function.js';
import type { Topology } from './topology.js';

export interface ResetReach {
  /** The bridge that does it. */
  readonly bridge: PciFunction;
  /** Only device 0 of the bus is hit, with what is below it. */
  readonly slot: boolean;
  /** In the order in which the kernel visits them: a bridge, then what is below it. */
  readonly functions: readonly PciFunction[];
}

const EXPRESS = 0x10;
/** Slot implemented, in the second byte of the Express flags. */
const SLOT_IMPLEMENTED = { at: 3, bit: 0x01 } as const;
/** Hot-plug capable, in the first byte of the slot capabilities. */
const HOT_PLUG = { at: 0x14, bit: 0x40 } as const;

/** `served`: is the port's own driver bound to a bridge? Without it there are no slots. Undefined: neither slot nor bus. */
export function resetReach(
  topology: Topology,
  f: PciFunction,
  served: (bridge: PciFunction) => boolean,
): ResetReach | undefined {
  const bridge = topology.bridgeAbove(f);
  if (bridge?.buses?.secondary !== f.bus || diesOfBusReset(bridge)) return undefined;
  const onBus = topology.onBus(f);
  const inSlot = onBus.filter(({ dev }) => dev === 0);
  const slot = f.dev === 0 && hasHotPlugSlot(bridge) && served(bridge) && survive(topology, inSlot);
  if (!slot && !survive(topology, onBus)) return undefined;
  return { bridge, slot, functions: withAllBelow(topology, slot ? inSlot : onBus) };
}

/** Is what is below the bridge in a slot from which it can be taken while the machine runs? */
export function hasHotPlugSlot({ config }: PciFunction): boolean {
  const express = config && standardCaps(config).find(({ id }) => id === EXPRESS)?.offset;
  if (!config || typeof express !== 'number') return false;
  return [SLOT_IMPLEMENTED, HOT_PLUG].every(({ at, bit }) => ((config[express + at] ?? 0) & bit) !== 0);
}

const survive = (topology: Topology, functions: readonly PciFunction[]): boolean =>
  !withAllBelow(topology, functions).some(diesOfBusReset);

function withAllBelow(topology: Topology, functions: readonly PciFunction[]): PciFunction[] {
  return functions.flatMap((f) => [f, ...withAllBelow(topology, below(topology, f))]);
}

function below(topology: Topology, { headerType, buses, domain }: PciFunction): readonly PciFunction[] {
  if (headerType === 0 || buses === null || buses.secondary === 0) return [];
  return topology.onBus({ domain, bus: buses.secondary, dev: 0, fn: 0 });
}

/** Devices that do not come back from a bus reset [quirks.c]. `mask`: bits of the device id that count. */
const FRAGILE: readonly { readonly vendor: number; readonly devices: readonly number[]; readonly mask?: number }[] = [
  { vendor: 0x10de, devices: [0x22ce, 0x22d0] },
  { vendor: 0x10de, devices: [0x2340], mask: 0xffc0 },
  { vendor: 0x168c, devices: [0x0030, 0x0032, 0x003c, 0x0033, 0x0034, 0x003e] },
  { vendor: 0x17cb, devices: [0x1103, 0x1107, 0x0308] },
  { vendor: 0x177d, devices: [0xa100] },
  { vendor: 0x104c, devices: [0xb005] },
  { vendor: 0x1b21, devices: [0x1164] },
];

export const diesOfBusReset = ({ vendor, device }: PciFunction): boolean =>
  FRAGILE.some((row) => row.vendor === vendor && row.devices.includes((device ?? 0xffff) & (row.mask ?? 0xffff)));
