/**
 * The shape of a GPU server from a profile of NVIDIA's mock NVML (k8s-test-infra): its GPUs, the roots and NUMA nodes that they
 * hang below, its HCAs, and whether NVSwitches join it.
 */
import type { MachineFacts } from './import-nodes.js';
import { InputError, quote } from './input-error.js';
import { LIMITS } from './limits.js';
import { fabricPartitions, GPU, MILLI, Names, type Slot } from './shape.js';
import { list, record, yamlObjects } from './yaml-objects.js';

/** Does a text look like such a profile? */
export const isNvmlProfile = (text: string): boolean => /^device_defaults:/m.test(text) && /^devices:/m.test(text);

/** Throws InputError. */
export function importNvmlProfile(text: string, file: string, kinds: Names): MachineFacts {
  const profile = yamlObjects(text, file)[0]?.object ?? {};
  const roots = rootsOf(profile, file);
  const perGpu = Number(record(profile['infiniband'])['hcas_per_gpu'] ?? 0);
  const fabric = list(record(profile['nvlink'])['switches']).length > 0;
  const switches = new Names();
  const gpus = list(profile['devices']).map((device, i): Slot => {
    const address = record(record(device)['pci'])['bus_id'];
    const field = `devices[${i}].pci.bus_id`;
    if (typeof address !== 'string') throw new InputError('is missing', { file, field });
    const root = roots.get(address.toLowerCase()) ?? { id: '', numa: 0 };
    const above = switches.id(root.id);
    return { name: address.toLowerCase(), kind: GPU, units: MILLI, group: i, numa: root.numa, switch: above, link: 0 };
  });
  const nics = gpus.flatMap((gpu, i) =>
    Array.from({ length: perGpu }, (_, j): Slot => {
      const index = i * perGpu + j;
      return { ...gpu, name: `mlx5_${index}`, kind: kinds.id('nic'), group: gpus.length + index };
    }),
  );
  const slots = [...gpus, ...nics];
  if (gpus.length === 0 || slots.length > LIMITS.devices)
    throw new InputError(`has ${slots.length} devices: from 1 to ${LIMITS.devices}`, { file, field: 'devices' });
  const nodes = Math.max(...slots.map(({ numa }) => numa)) + 1;
  const memory = Array.from({ length: nodes }, () => 0);
  return { memory, slots, partitions: fabric ? fabricPartitions(slots) : undefined };
}

/** Root complex and NUMA node by address. */
function rootsOf(profile: Record<string, unknown>, file: string): Map<string, { id: string; numa: number }> {
  const found = new Map<string, { id: string; numa: number }>();
  for (const [i, each] of list(record(profile['pcie_topology'])['root_complexes']).entries()) {
    const root = record(each);
    const numa = Number(root['numa_node'] ?? 0);
    if (!Number.isInteger(numa) || numa < 0 || numa >= LIMITS.numaNodes)
      throw new InputError(`${quote(String(root['numa_node']))} is no NUMA node from 0 to ${LIMITS.numaNodes - 1}`, {
        file,
        field: `pcie_topology.root_complexes[${i}].numa_node`,
      });
    for (const address of list(root['devices']))
      found.set(String(address).toLowerCase(), { id: String(root['id'] ?? i), numa });
  }
  return found;
}
