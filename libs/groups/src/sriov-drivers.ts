/**
 * Drivers of PFs that switch VFs on and off when sysfs asks (`sriov_configure`).
 *
 * Rule: a driver that is not listed leaves SR-IOV alone: writing sriov_numvfs answers ENOENT.
 */
import { VFIO_PCI } from './drivers.js';

export interface SriovDriver {
  /** The VFs go with the driver; else they stay, and nobody serves them. */
  readonly takesVfsAlong: boolean;
  /**
   * VFs have no resources until their PF is told to share its own (NVMe's secondary controllers in QEMU). Those of a described
   * model have some from power-on.
   */
  readonly vfsStartOffline?: true;
}

const TAKES_ALONG: SriovDriver = { takesVfsAlong: true };

export const SRIOV_DRIVERS: ReadonlyMap<string, SriovDriver> = new Map<string, SriovDriver>([
  [VFIO_PCI, TAKES_ALONG],
  ['nvme', { takesVfsAlong: false, vfsStartOffline: true }],
  ['pci-stub', { takesVfsAlong: false }],
  ...['bnxt_en', 'i40e', 'ice', 'igb', 'ixgbe', 'mlx5_core'].map((name) => [name, TAKES_ALONG] as const),
]);
