/**
 * VFIO_DEVICE_IOEVENTFD: ties an eventfd to a register write; fd -1 unties it (trace b065).
 *
 * Rule: the place is judged first (EINVAL), then whether the match is there (EEXIST, ENODEV), then the bound (ENOSPC), and
 * only then the fd (EBADF, EINVAL).
 */
import { DONE, type IoctlResult, lockRead, lockWrite, type Op, unlock } from '@vfiolab/core';
import {
  fail,
  ok,
  type Result,
  type StructOf,
  VFIO_DEVICE_IOEVENTFD_64,
  VFIO_DEVICE_IOEVENTFD_SIZE_MASK,
  VFIO_PCI_BAR5_REGION_INDEX,
  type vfio_device_ioeventfd,
} from '@vfiolab/uapi';
import { hiddenRange, writeBar } from '../bar-access.js';
import type { DeviceCall } from '../device-call.js';
import { getsThrough } from '../endpoint.js';
import { watchEventfd } from '../eventfds.js';
import { type Match, MAX_IOEVENTFDS } from '../ioeventfds.js';
import { writeWord } from '../little-endian.js';
import type { VfioDevice } from '../vfio-device.js';

type Ioeventfd = typeof vfio_device_ioeventfd;

const NO_FD = -1;
const REGION_BITS = 40n;
const OFFSET_MASK = (1n << REGION_BITS) - 1n;

export function* ioeventfd(c: DeviceCall<Ioeventfd>, cmd: StructOf<Ioeventfd>): Op<IoctlResult> {
  const { device } = c.file;
  const { ioeventfds } = device;
  const wanted = judge(device, cmd);
  if (!wanted.ok) return wanted;
  const match = wanted.value;
  yield* lockWrite(ioeventfds.lock);
  if (ioeventfds.has(match)) {
    if (cmd.fd !== NO_FD) return fail('EEXIST');
    yield* ioeventfds.remove(match);
    return DONE;
  }
  if (cmd.fd === NO_FD) return fail('ENODEV');
  if (ioeventfds.size >= MAX_IOEVENTFDS) return fail('ENOSPC');
  const watched = yield* watchEventfd(c, cmd.fd);
  if (!watched.ok) return watched;
  ioeventfds.add(match, watched.value.event);
  if (watched.value.ready) yield* write(device, match);
  return DONE;
}

/** A size, and a place in a BAR that is not the MSI-X table. EINVAL. */
function judge(device: VfioDevice, { flags, offset, data, fd }: StructOf<Ioeventfd>): Result<Match> {
  const width = flags & VFIO_DEVICE_IOEVENTFD_SIZE_MASK;
  const one = width !== 0 && (width & (width - 1)) === 0;
  if (flags !== width || !one || fd < NO_FD) return fail('EINVAL');
  const index = Number(offset >> REGION_BITS);
  const bar = index <= VFIO_PCI_BAR5_REGION_INDEX ? device.bar(index) : undefined;
  const at = Number(offset & OFFSET_MASK);
  if (!bar || at + width > bar.size) return fail('EINVAL');
  const [first, end] = hiddenRange(device, bar);
  if (at + width > first && at < end) return fail('EINVAL');
  if (width === VFIO_DEVICE_IOEVENTFD_64 && !device.flags.wideIoeventfds) return fail('EINVAL');
  return ok({ bar: index, offset: at, width, data });
}

function* write(device: VfioDevice, match: Match): Op<void> {
  const { bar: index, offset, width, data } = match;
  const bytes = new Uint8Array(width);
  writeWord(bytes, 0, width, data);
  yield* lockRead(device.memory);
  // It may have been taken away while this waited.
  const through = device.facts.freezes === true || (yield* getsThrough(device, { config: false, write: true }));
  if (through && device.ioeventfds.has(match)) yield* writeBar(device, device.bar(index)!, offset, bytes);
  yield* unlock(device.memory);
}

/** A client has written to an eventfd. */
export function* writeMatches(device: VfioDevice, event: number): Op<void> {
  for (const match of device.ioeventfds.matchesOf(event)) yield* write(device, match);
}
