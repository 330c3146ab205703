/**
 * The VFIO device of a VM: files and groups added and taken away. [virt/kvm/vfio.c]
 *
 * Rule: coherency is computed anew over everything that is held whenever something comes or goes (semantics A5.2), also when
 * nothing was found to take away.
 */
import { type Address, type FdArgument, GROUPS, lockWrite, type Op, type Request, unlock } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { GroupFiles } from '../group-files.js';
import type { Host } from '../host.js';
import { LIMITS } from '../limits.js';
import { isCoherent, letGo, setVm, take } from './held.js';
import { type Held, isSame, type VfioDeviceOfVm, type Vm } from './vm.js';

/** Where open TCE tables are found. */
interface Tables {
  get(
    token: string,
    client: Address,
  ): { readonly kind: string; readonly vm: Vm | undefined; readonly liobn: bigint } | undefined;
}

/** A call on a VM's VFIO device. */
export interface VfioCall {
  readonly host: Host;
  readonly kvm: Tables;
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
    yield* unlinkTables(c.vm, held);
    yield* setVm(held, 0);
    yield* letGo(host, files, held);
  }
  yield* updateCoherency(host, vfio);
  return held ? ok(undefined) : fail('ENOENT');
}

/** What is held of the file behind an fd. A device's file says its number only to who holds it. */
export function* heldBehind({ host, files, vfio, req }: VfioCall, { owner, token }: FdArgument): Op<Held | undefined> {
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
export function* releaseAll(host: Host, files: GroupFiles, vm: Vm): Op<void> {
  const vfio = vm.vfio!;
  yield* lockWrite(vfio.lock);
  for (const held of vfio.held) {
    yield* unlinkTables(vm, held);
    yield* setVm(held, 0);
    yield* letGo(host, files, held);
  }
  vfio.held = [];
  vfio.noncoherent = false;
}

/** POWER: the guest's tables are not linked to the windows of the group any more; what they wrote there stays. */
function* unlinkTables(vm: Vm, held: Held): Op<void> {
  if (held.kind !== 'group' || vm.tables.size === 0) return;
  yield* lockWrite(vm.hypercalls);
  for (const table of vm.tables.values()) table.unlink(held.group);
  yield* unlock(vm.hypercalls);
}

/**
 * POWER: what a guest writes into a table goes into the window of a group's container. EBADF; ENOENT: the group is not held; EIO:
 * the file is a device's, or no device is bound any more; EINVAL: no table of this VM, or no window fits it.
 */
export function* setSpaprTce(c: VfioCall, groupfd: number, tablefd: number): Op<Result<undefined>> {
  const { kvm, vm, vfio, req, fds } = c;
  const passed = fds.find(({ fd }) => fd === groupfd);
  if (!passed) return fail('EBADF');
  yield* lockWrite(vfio.lock);
  const held = yield* heldBehind(c, passed);
  if (!held) return fail('ENOENT');
  if (held.kind !== 'group' || !held.group.alive) return fail('EIO');
  const tableFile = fds.find(({ fd }) => fd === tablefd);
  if (!tableFile) return fail('EBADF');
  const file = tableFile.owner === GROUPS ? kvm.get(tableFile.token, req.from) : undefined;
  const table = file?.kind === 'kvm-tce' && file.vm === vm ? vm.tables.get(file.liobn) : undefined;
  if (!table) return fail('EINVAL');
  yield* lockWrite(vm.hypercalls);
  return yield* table.link(held.group);
}

function* updateCoherency(host: Host, vfio: VfioDeviceOfVm): Op<void> {
  let noncoherent = false;
  for (const held of vfio.held) {
    noncoherent = !(yield* isCoherent(host, held));
    if (noncoherent) break;
  }
  vfio.noncoherent = noncoherent;
}
