/**
 * Opening a function through its group, and closing it.
 *
 * Words: the function is *shared*: any number of files have it open, and what the first one set up serves all.
 * Rule: the group is asked first and told last, so the container outlives what uses it; the function is quiet before it
 * leaves the iommufd (semantics A3.5, A3.6, E9).
 */
import {
  type Address,
  type ByteReader,
  type ByteWriter,
  call,
  CONTAINER,
  containerApi,
  GROUPS,
  groupsApi,
  IOMMUFD,
  iommufdApi,
  lockWrite,
  type Op,
  unlock,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Binding } from './cdev-file.js';
import type { CommonDevice } from './common-device.js';

/** One file more. The caller has the function's set lock. */
export function* openShared(device: CommonDevice, client: Address, context: number): Op<Result<undefined>> {
  if (!device.shared) {
    const opened = yield* openFirst(device, client, context);
    if (!opened.ok) return opened;
    device.enable();
    if (device.resetForUser) yield* device.resetForUser();
    device.shared = { files: 0, binding: opened.value };
  }
  device.shared.files++;
  return ok(undefined);
}

/** Answers what the function was bound to; nothing without an iommufd. */
function* openFirst(device: CommonDevice, client: Address, context: number): Op<Result<Binding | undefined>> {
  const { name: bdf, emulated } = device;
  const used = yield* call(GROUPS, groupsApi.groupUse, { bdf, client });
  if (!used.ok) return used;
  device.takeVm?.(used.value.vm);
  const { refusesOpen } = device;
  if (context === 0) {
    if (refusesOpen) {
      yield* call(GROUPS, groupsApi.groupUnuse, { bdf });
      return fail(refusesOpen);
    }
    if (device.dmaUnmap) yield* call(CONTAINER, containerApi.listen, { on: true });
    return ok(undefined);
  }
  const bound = yield* call(IOMMUFD, iommufdApi.compatBind, { context, bdf, emulated });
  if (bound.ok && !refusesOpen) return bound;
  if (bound.ok) yield* call(IOMMUFD, iommufdApi.unbind, bound.value);
  yield* call(GROUPS, groupsApi.groupUnuse, { bdf });
  return bound.ok ? fail(refusesOpen!) : bound;
}

/** One file less. */
export function* closeShared(device: CommonDevice): Op<void> {
  yield* lockWrite(device.set);
  const { files, binding } = device.shared!;
  if (files > 1) device.shared!.files--;
  else {
    yield* device.disable();
    if (binding) yield* call(IOMMUFD, iommufdApi.unbind, binding);
    else if (device.dmaUnmap) yield* call(CONTAINER, containerApi.listen, { on: false });
    device.shared = undefined;
  }
  yield* unlock(device.set);
  if (files === 1) yield* call(GROUPS, groupsApi.groupUnuse, { bdf: device.name });
}

/** Which iommufd it is bound to; the files count themselves when they are read back. */
export function encodeShared(w: ByteWriter, { shared }: CommonDevice, view: View): void {
  w.bool(shared !== undefined);
  const binding = shared?.binding;
  w.bool(binding !== undefined);
  if (!binding) return;
  if (view === 'snapshot') w.num(binding.context);
  w.u32(binding.device);
}

export function decodeShared(r: ByteReader, device: CommonDevice): void {
  const open = r.bool();
  const binding = r.bool() ? { context: r.num(), device: r.u32() } : undefined;
  device.shared = open ? { files: 0, binding } : undefined;
}
