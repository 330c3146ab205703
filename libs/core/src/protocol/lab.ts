/** What the lab does for the people who run it. Every actor also registers with it (`boot`). */
import {
  api,
  bool,
  forClients,
  list,
  message,
  method,
  nothing,
  num,
  optional,
  result,
  str,
  u32,
  u8,
} from '../codec.js';
import { deviceFault, faultReply } from './device-faults.js';
import { kvmHolds, teaching, vfioContainer } from './groups.js';
import { hugetlb } from './pages.js';

const instance = message({ actor: str, epoch: u32, instance: str, since: num, seq: num });

const placement = message({ host: str, instance: str, epoch: u32 });

/** log2 of the kernel's page in bytes: 12, or 16 (POWER and Arm have kernels of both). */
export const PAGE_SHIFTS: readonly number[] = [12, 16];

export const labApi = api(
  'lab',
  forClients({
    /** A piece of a machine's description, passed on to `groups`. */
    loadMachine: method(32, message({ part: u32, text: str }), result(nothing)),
    /**
     * Makes the host from the pieces. `pageShift`: one of PAGE_SHIFTS; `hugetlb`: why there are no huge pages; left out:
     * there are as many as memory has room for. `error` is empty or says what is wrong with them.
     */
    createHost: method(
      33,
      message({
        machine: str,
        profile: str,
        iommu: str,
        frames: num,
        allowUnsafeInterrupts: u32,
        vfioContainer,
        pageShift: u8,
        hugetlb: optional(hugetlb),
        /** As in HostSetup. */
        kvm: optional(kvmHolds),
        memoryCards: optional(bool),
        teaching: optional(teaching),
      }),
      message({ error: str, functions: u32, groups: u32 }),
    ),
    /** A client left or was killed: every service closes what it held. */
    endClient: method(34, message({ client: str }), nothing),
    status: method(35, nothing, list(instance)),
    /** Causes a fault of a device, or ends those that it has: see `DEVICE_FAULTS`. */
    fault: method(170, deviceFault, faultReply),
    /** The machine of the host; empty when it was not made yet. */
    made: method(210, nothing, str),
    /**
     * Says which instance serves a host of a lab that has several; empty: none does. `known`: the newest epoch that the
     * caller knows of the host, 0 when it knows none. Answers the new one.
     */
    place: method(211, message({ host: str, instance: str, known: u32 }), result(u32)),
    placements: method(212, nothing, list(placement)),
  }),
);
