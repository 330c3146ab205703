/**
 * In which order does a kernel hand functions to its IOMMU driver? Only the numbers of groups depend on it.
 *
 * Rule: a bridge always comes before what is behind it, as in the kernel, which finds devices through their bridges.
 */
import { classOf, type PciFunction } from './pci-function.js';
import { TopologyError, quote } from './topology-error.js';
import type { Topology } from './topology.js';

/** BDFs IOMMU unit by unit: `gfx` = display functions at 00:02, `dddd:bb` = a root bus; the rest follows by address. */
export function unitProbeOrder(topology: Topology, units: readonly string[]): string[] {
  const placed = new Set<string>();
  for (const unit of units) {
    for (const f of topology.functions) if (belongsTo(topology, f, unit)) placed.add(f.bdf);
  }
  for (const f of topology.functions) placed.add(f.bdf);
  return [...placed];
}

function belongsTo(topology: Topology, f: PciFunction, unit: string): boolean {
  if (unit === 'gfx') return f.domain === 0 && f.bus === 0 && f.dev === 2 && (classOf(f) ?? 0) >> 8 === 0x03;
  const domain = f.domain.toString(16).padStart(4, '0');
  return `${domain}:${topology.rootBusOf(f).toString(16).padStart(2, '0')}` === unit;
}

/** Checks an order given from outside; functions it leaves out follow by address. */
export function completeProbeOrder(topology: Topology, order: readonly string[]): string[] {
  const seen = new Set<string>();
  for (const bdf of order) {
    const f = topology.get(bdf);
    if (!f) throw new TopologyError(`The probe order names ${quote(bdf)}`, {}, 'No such function in the machine.');
    if (seen.has(bdf)) throw new TopologyError(`The probe order names ${bdf} twice`, {}, 'Name each function once.');
    const late = topology.bridgesAbove(f).find((bridge) => !seen.has(bridge.bdf));
    if (late) {
      const what = `The probe order names ${bdf} before its bridge ${late.bdf}`;
      throw new TopologyError(what, {}, 'Bridges are probed before the devices behind them.');
    }
    seen.add(bdf);
  }
  for (const f of topology.functions) seen.add(f.bdf);
  return [...seen];
}
