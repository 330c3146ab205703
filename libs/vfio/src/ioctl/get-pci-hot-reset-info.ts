/**
 * VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: the functions that a reset of the slot or bus would hit.
 *
 * Rule: of a file of the group each comes with its group's number; of a cdev with its id in the same iommufd, 0 when it is
 * owned through its group, -1 when it is not owned, and the flags say whether all are owned (trace b062). ENODEV: neither
 * slot nor bus can be reset; ENOSPC: no room, and the count is written all the same; EPERM: one has no group (trace b061).
 */
import {
  call,
  type Dependent,
  DONE,
  GROUPS,
  groupsApi,
  IOMMUFD,
  iommufdApi,
  type IoctlResult,
  type Op,
} from '@vfiolab/core';
import { devfnOf, parseBdf } from '@vfiolab/pci';
import {
  copyOut,
  encode,
  fail,
  ok,
  type Result,
  type StructOf,
  VFIO_PCI_DEVID_NOT_OWNED,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID,
  VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED,
  vfio_pci_dependent_device,
  vfio_pci_hot_reset_info,
} from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';

type Info = typeof vfio_pci_hot_reset_info;

const HEADER = vfio_pci_hot_reset_info.size;
const ENTRY = vfio_pci_dependent_device.size;
const ALL_OWNED = VFIO_PCI_HOT_RESET_FLAG_DEV_ID | VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED;

export function* getPciHotResetInfo(c: DeviceCall<Info>, _cmd: StructOf<Info>): Op<IoctlResult> {
  const { device, file } = c.file;
  const found = yield* call(GROUPS, groupsApi.resetReach, { bdf: device.facts.bdf });
  if (!found.ok) return found;
  const count = found.value.length;
  if (count > Math.floor((c.userSize - HEADER) / ENTRY)) {
    const written = c.respond({ flags: 0, count });
    return written.ok ? fail('ENOSPC') : written;
  }
  const words = file.binding ? ok(yield* idsOf(file.binding.context, found.value)) : groupsOf(found.value);
  if (!words.ok) return words;
  const owned = words.value.includes(VFIO_PCI_DEVID_NOT_OWNED) ? VFIO_PCI_HOT_RESET_FLAG_DEV_ID : ALL_OWNED;
  const devices = entries(found.value, words.value);
  const copied = copyOut(c.user, c.arg + BigInt(HEADER), devices);
  if (!copied.ok) return copied;
  const written = c.respond({ flags: file.binding ? owned : 0, count });
  return written.ok ? DONE : written;
}

/** What is not in the device set nobody owns. */
function* idsOf(context: number, found: readonly Dependent[]): Op<number[]> {
  const ids = yield* call(IOMMUFD, iommufdApi.deviceIds, { context, bdfs: found.map(({ bdf }) => bdf) });
  return found.map(({ inSet }, i) => (inSet ? ids[i]! : VFIO_PCI_DEVID_NOT_OWNED));
}

function groupsOf(found: readonly Dependent[]): Result<number[]> {
  const groups = found.flatMap(({ group }) => (group === undefined ? [] : [group]));
  return groups.length === found.length ? ok(groups) : fail('EPERM');
}

function entries(found: readonly Dependent[], words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(ENTRY * found.length);
  found.forEach(({ bdf }, i) => {
    const at = parseBdf(bdf)!;
    const place = { segment: at.domain & 0xffff, bus: at.bus, devfn: devfnOf(at) };
    bytes.set(encode(vfio_pci_dependent_device, { devid: words[i]! >>> 0, ...place } as never), ENTRY * i);
  });
  return bytes;
}
