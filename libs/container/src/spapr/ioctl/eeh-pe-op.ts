/**
 * VFIO_EEH_PE_OP: errors of the container's partitionable endpoints (PEs), which are its groups. [eeh.c, eeh-powernv.c]
 *
 * Rule: the groups are asked one after the other, the newest first, up to the first that does not answer 0 (SURPRISES 70).
 */
import {
  type ArgsOf,
  call as ask,
  deviceAddress,
  deviceApi,
  IOMMU,
  iommuApi,
  type IoctlCall,
  type IoctlResult,
  type Op,
} from '@vfiolab/core';
import {
  type Errno,
  fail,
  ok,
  type StructOf,
  VFIO_EEH_PE_ENABLE,
  VFIO_EEH_PE_GET_STATE,
  VFIO_EEH_PE_INJECT_ERR,
  VFIO_EEH_PE_RESET_DEACTIVATE,
  VFIO_EEH_PE_RESET_FUNDAMENTAL,
  VFIO_EEH_PE_RESET_HOT,
  VFIO_EEH_PE_STATE_NORMAL,
  VFIO_EEH_PE_STATE_STOPPED,
  VFIO_EEH_PE_STATE_STOPPED_DMA,
  VFIO_EEH_PE_STATE_UNAVAIL,
  VFIO_EEH_PE_UNFREEZE_DMA,
  VFIO_EEH_PE_UNFREEZE_IO,
  type vfio_eeh_pe_err,
  type vfio_eeh_pe_op,
} from '@vfiolab/uapi';
import type { Spapr } from '../spapr.js';

/** Kinds of errors that can be injected: on the bus with addresses of 32 or 64 bits. */
const LAST_TYPE = 1;
/** Functions are accesses: loads and stores of memory, ports and config space, and DMA. */
const LAST_FUNCTION = 19;
/** What the firmware can inject: loads and stores of config space, at their address or their data. */
const INJECTABLE: readonly number[] = [4, 5, 10, 11];
const STORES: readonly number[] = [10, 11];

/** What the functions of a PE are told. */
/** What they do to a PE that is frozen or has to be. ENABLE hands it over without an error (eeh_pe_change_owner). */
const ACTS = new Map<number, ArgsOf<typeof iommuApi.endpointOp>['op']>([
  [VFIO_EEH_PE_ENABLE, 'thaw'],
  [VFIO_EEH_PE_UNFREEZE_IO, 'thaw-io'],
  [VFIO_EEH_PE_UNFREEZE_DMA, 'thaw-dma'],
  [VFIO_EEH_PE_GET_STATE, 'state'],
  [VFIO_EEH_PE_RESET_HOT, 'freeze'],
  [VFIO_EEH_PE_RESET_FUNDAMENTAL, 'freeze'],
  [VFIO_EEH_PE_RESET_DEACTIVATE, 'thaw'],
]);
/** By what is frozen: PE_IO, PE_DMA. */
const STATES = [
  VFIO_EEH_PE_STATE_NORMAL,
  VFIO_EEH_PE_STATE_UNAVAIL,
  VFIO_EEH_PE_STATE_STOPPED_DMA,
  VFIO_EEH_PE_STATE_STOPPED,
] as const;

const RESETS = new Map<number, 'hot' | 'fundamental' | 'over'>([
  [VFIO_EEH_PE_RESET_HOT, 'hot'],
  [VFIO_EEH_PE_RESET_FUNDAMENTAL, 'fundamental'],
  [VFIO_EEH_PE_RESET_DEACTIVATE, 'over'],
]);

/**
 * 0: done; VFIO_EEH_PE_GET_STATE: the state, and hosts whose bridge freezes nothing stay normal (p064). ENODEV: no PE; EINVAL: argsz, flags, op, function to inject;
 * ERANGE: type of error; EIO: the firmware does not inject that.
 */
export function* eehPeOp(
  { file: { groups } }: IoctlCall<Spapr, typeof vfio_eeh_pe_op>,
  { flags, op, err }: StructOf<typeof vfio_eeh_pe_op>,
): Op<IoctlResult> {
  if (groups.length === 0) return ok(0);
  if (flags !== 0 || op > VFIO_EEH_PE_INJECT_ERR) return fail('EINVAL');
  const refused = op === VFIO_EEH_PE_INJECT_ERR ? injectionError(err) : undefined;
  if (refused) return fail(refused);
  const phase = RESETS.get(op);
  const act = op === VFIO_EEH_PE_INJECT_ERR ? (STORES.includes(err.func) ? 'trap-store' : 'trap-load') : ACTS.get(op);
  for (const { members } of groups) {
    for (const bdf of phase ? members : []) yield* ask(deviceAddress(bdf), deviceApi.endpointReset, { phase: phase! });
    const frozen = act ? yield* ask(IOMMU, iommuApi.endpointOp, { bdf: members[0]!, op: act }) : 0;
    const state = op === VFIO_EEH_PE_GET_STATE ? STATES[frozen]! : 0;
    if (state !== 0) return ok(state);
  }
  return ok(0);
}

function injectionError({ type, func }: StructOf<typeof vfio_eeh_pe_err>): Errno | undefined {
  if (func > LAST_FUNCTION) return 'EINVAL';
  if (type > LAST_TYPE) return 'ERANGE';
  return INJECTABLE.includes(func) ? undefined : 'EIO';
}
