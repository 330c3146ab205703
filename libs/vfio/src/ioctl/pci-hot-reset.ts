/**
 * VFIO_DEVICE_PCI_HOT_RESET: resets everything in the slot or on the bus.
 *
 * Rule: a file of the group comes with the groups of all that is hit, a cdev with none: its iommufd says what is its own
 * (traces b061, b062). EINVAL: flags, the wrong one of the two forms, more groups than functions, a file that is no group,
 * a function that is not the caller's or not vfio-pci's; ENODEV: neither slot nor bus can be reset; EFAULT; EBADF; EBUSY:
 * a function is in use this moment; EAGAIN: one is being bound or unbound; ENOTTY: reset, but the link has not come up again (trace d012).
 */
import { call, DONE, GROUPS, groupsApi, type IoctlResult, type Op } from '@vfiolab/core';
import { copyIn, fail, ok, type Result, type StructOf, vfio_pci_hot_reset } from '@vfiolab/uapi';
import type { DeviceCall } from '../device-call.js';

type HotReset = typeof vfio_pci_hot_reset;

const FD = 4;

export function* pciHotReset(c: DeviceCall<HotReset>, cmd: StructOf<HotReset>): Op<IoctlResult> {
  const { device, file } = c.file;
  const { binding } = file;
  if (cmd.flags !== 0 || cmd.count > 0 === (binding !== undefined)) return fail('EINVAL');
  const { bdf } = device.facts;
  const found = yield* call(GROUPS, groupsApi.resetReach, { bdf });
  if (!found.ok) return found;
  if (cmd.count > found.value.length) return fail('EINVAL');
  const files = groupFiles(c, cmd.count);
  if (!files.ok) return files;
  const owner = binding ? { client: '', context: binding.context } : { client: c.client, context: 0 };
  const reset = yield* call(GROUPS, groupsApi.hotReset, { bdf, files: files.value, ...owner });
  return reset.ok ? DONE : reset;
}

/** The caller's names of the groups. EFAULT; EBADF: no file; EINVAL: no group's. */
function groupFiles(c: DeviceCall<HotReset>, count: number): Result<string[]> {
  const array = copyIn(c.user, c.arg + BigInt(vfio_pci_hot_reset.size), FD * count);
  if (!array.ok) return array;
  const { buffer, byteOffset, byteLength } = array.value;
  const view = new DataView(buffer, byteOffset, byteLength);
  const files: string[] = [];
  for (let i = 0; i < count; i++) {
    const fd = view.getInt32(FD * i, true);
    const passed = c.fds.find((each) => each.fd === fd);
    if (!passed) return fail('EBADF');
    if (passed.owner !== GROUPS) return fail('EINVAL');
    files.push(passed.token);
  }
  return ok(files);
}
