/**
 * Bounds on what an import accepts. Rule: every list that a file can make grow is checked against one of these.
 */
export const LIMITS = {
  /** Characters of one input file: 65,536 functions with full hex dumps would be larger, real machines are below 20 Mi. */
  textLength: 64 * 1024 * 1024,
  /** Characters of one line; the longest real one (VPD text) is below 1,000. */
  lineLength: 64 * 1024,
  /** Functions of one machine. */
  functions: 16_384,
  /** Capability entries of one function: a 4,096-byte space has room for 48 standard and 960 extended headers. */
  capabilities: 1_024,
  /** BARs of one function, its VFs' included. */
  bars: 16,
  /** Lines of a memory map; a large server has some 500. */
  memoryMap: 4_096,
  /** IOMMUs of one machine. */
  iommuUnits: 64,
  /** Devices of one machine on the vDPA bus. */
  vdpaDevices: 64,
  /** Functions with a port on one network: each has the frames of all others. */
  ports: 32,
  /** VFs behind one PF's port. */
  vfPorts: 256,
  /** Bytes of configuration space. */
  configBytes: 4_096,
  /** Bytes of an OpRegion of 8 KiB with its extended VBT. */
  opregionBytes: 65_536,
} as const;
