/**
 * /sys/kernel/debug/powerpc: which switches the kernels of POWER's recordings have there (trace p001).
 *
 * Rule: the names are those of the kernel's configuration and of the platform; what the lab has an answer for can be read, and
 * nothing can be written.
 */
import type { EndpointUnit, Topology } from '@vfiolab/pci';
import { type DirNode, fixedDir, listDir, type Node } from './nodes.js';

const COMMON = [
  ...['barrier_nospec', 'count_cache_flush', 'dawr_enable_dangerous', 'eeh_address_cache', 'eeh_dev_break'],
  ...['eeh_dev_can_recover', 'eeh_dev_check', 'eeh_disable_recovery', 'eeh_enable', 'eeh_force_recover'],
  ...['eeh_max_freezes', 'entry_flush', 'link_stack_flush', 'qspl_head_spins', 'qspl_remote_steal_spins'],
  ...['qspl_steal_spins', 'rfi_flush', 'security_features', 'stf_barrier', 'tlb_local_single_page_flush_ceiling'],
  ...['tlb_single_page_flush_ceiling', 'tlbie_enabled', 'uaccess_flush', 'xive'],
];
/** Locks yield to processors that the hypervisor has taken away. */
const UNDER_HYPERVISOR = [
  ...['hpt_order', 'qspl_pv_prod_head', 'qspl_pv_sleepy_lock', 'qspl_pv_sleepy_lock_factor'],
  ...['qspl_pv_sleepy_lock_interval_ns', 'qspl_pv_sleepy_lock_sticky', 'qspl_pv_spin_on_preempted_owner'],
  ...['qspl_pv_yield_allow_steal', 'qspl_pv_yield_owner', 'qspl_pv_yield_prev', 'qspl_pv_yield_sleepy_owner', 'vpa'],
];
/** How often an hour a function may be frozen before it is given up. */
const MAX_FREEZES = 5;

/** `bus`: bare metal, which has a directory for each host bridge. */
export function powerpcDebugDir(unit: EndpointUnit, { functions }: Topology): DirNode {
  const bare = unit === 'bus';
  const bridges = bare ? [...new Set(functions.map(({ domain }) => domain))].map(bridgeName) : [];
  const files = bare ? COMMON : [...COMMON, ...UNDER_HYPERVISOR];
  const known = fixedDir({
    eeh_disable_recovery: () => secret('N'),
    eeh_enable: () => secret(bare ? '0x1' : '0x0'),
    eeh_max_freezes: () => secret(String(MAX_FREEZES)),
  });
  return listDir(
    () => [...bridges, ...files],
    (name): Node | undefined => {
      if (bridges.includes(name)) return fixedDir({});
      return files.includes(name) ? (known.child(name) ?? { kind: 'attribute' }) : undefined;
    },
  );
}

const bridgeName = (domain: number): string => `PCI${domain.toString(16).toUpperCase().padStart(4, '0')}`;

const secret = (line: string): Node => ({ kind: 'attribute', show: () => `${line}\n`, rootOnly: true });
