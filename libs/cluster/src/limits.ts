/** Bounds on what is read. Rule: every list that a file can make grow is checked against one of these. */
export const LIMITS = {
  /** Characters of one input file. */
  textLength: 512 * 1024 * 1024,
  /** Lines of one CSV file. */
  rows: 8_000_000,
  hosts: 1_000_000,
  /** Pods of one run, copies included. */
  pods: 8_000_000,
  /** Kinds of host and kinds of request. */
  shapes: 4_096,
  classes: 4_096,
  /** Devices of one host; VFs of one PF count as one device with as many units. */
  devices: 64,
  /** Units of one device: thousandths of a GPU, or VFs. */
  units: 10_000,
  numaNodes: 8,
  cpuMilli: 4_096_000,
  /** MiB of one NUMA node. */
  memoryMib: 2 ** 30,
  /** Different states of hosts' devices that one run may see. */
  occupancies: 4_194_304,
  /** Numbers that say why pods are on no host. */
  reportNumbers: 67_108_864,
  /** Different names of device kinds. */
  kinds: 64,
} as const;
