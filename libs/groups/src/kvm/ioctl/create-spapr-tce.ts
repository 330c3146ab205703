/**
 * KVM_CREATE_SPAPR_TCE_64 (POWER): a table that the guest writes by hypercalls; answers its fd.
 *
 * EINVAL: flags, nothing, pages, the end; ENOMEM: the charge (RLIMIT_MEMLOCK), or too long; EBUSY: the LIOBN is taken; EMFILE.
 */
import { call, type IoctlCall, type IoctlResult, DONE, lockWrite, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { type Errno, fail, type kvm_create_spapr_tce_64, type StructOf } from '@vfiolab/uapi';
import { pageShiftOf } from '../../host.js';
import type { VmCall } from '../ioctl-table.js';
import { GuestTceTable, isShape, tableCost } from '../tce-table.js';

type Create = typeof kvm_create_spapr_tce_64;

export function* createSpaprTce(c: IoctlCall<VmCall, Create>, cmd: StructOf<Create>): Op<IoctlResult> {
  const { kvm, vm, host } = c.file;
  const shape = { liobn: cmd.liobn, pageShift: cmd.page_shift, offset: cmd.offset, size: cmd.size };
  if (cmd.flags !== 0 || !isShape(shape)) return fail('EINVAL');
  const { frames, fits } = tableCost(shape, pageShiftOf(host));
  const charged = yield* call(PAGES, pagesApi.chargeLocked, { client: vm.client, frames });
  if (!charged.ok) return charged;
  const { mm } = charged.value;
  yield* lockWrite(vm.lock);
  const taken = vm.tables.has(shape.liobn);
  const made = fits && !taken ? kvm.make(c.req, 'kvm-tce', vm, shape.liobn) : undefined;
  if (!made?.ok) {
    yield* call(PAGES, pagesApi.unchargeLocked, { mm, frames });
    const why: Errno = !fits ? 'ENOMEM' : taken ? 'EBUSY' : 'EMFILE';
    return fail(why);
  }
  vm.tables.set(shape.liobn, new GuestTceTable(shape, mm, frames));
  c.returnFile(made.value);
  return DONE;
}
