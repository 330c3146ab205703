export { type PciAddress, compareAddress, devfnOf, formatBdf, parseBdf } from './bdf.js';
export { LIMITS } from './limits.js';
export { type KernelProfile, DEFAULT_PROFILE } from './profile.js';
export { type Origin, TopologyError } from './topology-error.js';
export {
  type Acs,
  type Bar,
  type BridgeBuses,
  type Capability,
  type PciFunction,
  type PciFunctionInit,
  type PcieType,
  type Sriov,
  type VfTemplate,
  classOf,
} from './pci-function.js';
export {
  type BridgeWindow,
  type IommuKind,
  type IommuUnitFacts,
  MACHINE_IOMMUS,
  type TopologyInit,
  Topology,
} from './topology.js';
export { atomicOps } from './atomic-ops.js';
export { type TranslationCaps, translationCaps } from './translation-caps.js';
export { type ConfigFacts, decodeConfig } from './config-space.js';
export { configImage } from './config-image.js';
export { importFixture } from './import-fixture.js';
export { importLspci } from './import-lspci.js';
export { importTopology } from './import-topology.js';
export { type AcsControl, ACS, AcsJudge, REQUIRED_ACS } from './acs.js';
export { dmaAliases, realDmaDevice } from './dma-alias.js';
export { type ResetReach, diesOfBusReset, hasHotPlugSlot, resetReach } from './hot-reset.js';
export { wiringOf } from './networks.js';
export { virtualFunctions, vfAddress } from './virtual-functions.js';
export { resetMethods } from './reset-methods.js';
export { inIommuScope } from './scope.js';
export { inStreamScope, streamClaims } from './streams.js';
export { unitProbeOrder } from './probe-order.js';
export { type EndpointUnit, endpointNumber, partitionableEndpoints } from './partitionable-endpoints.js';
export {
  type ComputeOptions,
  type Group,
  type GroupingOptions,
  GroupTable,
  computeGroups,
  groupsInOrder,
} from './grouping.js';
