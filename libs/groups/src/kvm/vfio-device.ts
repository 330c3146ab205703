/**
 * The VFIO device of a VM: files and groups added and taken away. [virt/kvm/vfio.c]
 *
 * Rule: coherency is computed anew over everything that is held whenever something comes or goes (semantics A5.2), also when
 * nothing was found to take away.
 */
import { type FdArgument, lockWrite, type Op, type Request } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { GroupFiles } from '../group-files.js';
import type { Host } from '../host.js';
import { LIMITS } from '../limits.js';
import { isCoherent, letGo, setVm, take } from './held.js';
import { isSame, type VfioDeviceOfVm, type Vm } from './vm.js';

/** A call on a VM's VFIO device. */
export interface VfioCall {
  readonly host: Host;
  readonly files: GroupFiles;
  readonly vm: Vm;
  readonly vfio: VfioDeviceOfVm;
  readonly req: Request;
  readonly fds: readonly FdArgument[];
}

/** EBADF; see `take`; EEXIST: it is held already; ENOMEM: too many. */
export function* addFile(c: VfioCall, fd: number): Op<Result<undefined>> {
  const { host, files, vm, vfio } = c;
  const passed = c.fds.find((each) => each.fd === fd);
  if (!passed) return fail('EBADF');
  const taken = yield* take(host, files, passed, c.req.from);
  if (!taken.ok) return taken;
  yield* lockWrite(vfio.lock);
  const known = vfio.held.some((each) => isSame(each, taken.value));
  if (known || vfio.held.length >= LIMITS.heldByVm) {
    yield* letGo(host, files, taken.value);
    return fail(known ? 'EEXIST' : 'ENOMEM');
  }
  vfio.held = [...vfio.held, taken.value];
  yield* setVm(taken.value, vm.id);
  yield* updateCoherency(host, vfio);
  return ok(undefined);
}

/** EBADF; ENOENT: it is not held. */
export function* deleteFile(c: VfioCall, fd: number): Op<Result<undefined>> {
  const { host, files, vfio } = c;
  const passed = c.fds.find((each) => each.fd === fd);
  if (!passed) return fail('EBADF');
  yield* lockWrite(vfio.lock);
  const held = yield* heldBehind(c, passed);
  if (held) {
    vfio.held = vfio.held.filter((each) => each !== held);
    yield* setVm(held, 0);
    yield* letGo(host, files, held);
  }
  yield* updateCoherency(host, vfio);
  return held ? ok(undefined) : fail('ENOENT');
}

/** What is held of the file behind an fd. A device's file says its number only to who holds it. */
export function* heldBehind(
  { host, files, vfio, req }: VfioCall,
  { owner, token }: FdArgument,
): Op<VfioDeviceOfVm['held'][number] | undefined> {
  const group = files.get(token, req.from)?.group;
  if (group) return vfio.held.find((each) => each.kind === 'group' && each.group === group);
  if (!vfio.held.some((each) => each.kind === 'device' && each.owner === owner)) return undefined;
  const asked = yield* take(host, files, { fd: -1, owner, token }, req.from);
  if (!asked.ok) return undefined;
  const found = vfio.held.find((each) => isSame(each, asked.value));
  yield* letGo(host, files, asked.value);
  return found;
}

/** The device's last close. The caller has the VM's lock. Never fails. */
export function* releaseAll(host: Host, files: GroupFiles, vfio: VfioDeviceOfVm): Op<void> {
  yield* lockWrite(vfio.lock);
  for (const held of vfio.held) {
    yield* setVm(held, 0);
    yield* letGo(host, files, held);
  }
  vfio.held = [];
  vfio.noncoherent = false;
}

function* updateCoherency(host: Host, vfio: VfioDeviceOfVm): Op<void> {
  let noncoherent = false;
  for (const held of vfio.held) {
    noncoherent = !(yield* isCoherent(host, held));
    if (noncoherent) break;
  }
  vfio.noncoherent = noncoherent;
}
