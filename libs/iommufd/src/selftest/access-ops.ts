/** Accesses of the self-test: made as a file, pinned through, moved. Semantics B7; the driver's part is the kernel's test driver. */
import {
  fail,
  iommu_test_access_pages,
  type iommu_test_access_replace_ioas,
  iommu_test_create_access,
  type iommu_test_destroy_access_pages,
  MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  MOCK_FLAGS_ACCESS_SYZ,
  MOCK_FLAGS_ACCESS_WRITE,
  ok,
  PAGE_SIZE,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { call as ask, type IoctlResult, lockWrite, type Op, PAGES, pagesApi, type Run } from '@vfiolab/core';
import { Access, destroyAccess, joinIoas, pinPages, type Pinned, replaceIoas, unpinSlices } from '../access.js';
import { isIoas } from '../context.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import { answer, done, type TestCall } from './call.js';
import { nthAreaIova } from './syz.js';

const PAGE = BigInt(PAGE_SIZE);
/** ACCESS_PAGES and ACCESS_RW take no more bytes in one call. */
export const MAX_ACCESS = 16n * 1024n * 1024n;

/** The access behind an fd of the caller. EBADFD: not open, or another kind of file. */
export function accessOf(call: TestCall, fd: number): Result<Access> {
  const named = call.fds.find((f) => f.fd === (fd | 0));
  const file = named && call.file.files.get(named.token, call.client);
  return file?.kind === 'iommufd-access' ? ok(file.object) : fail('EBADFD');
}

/** EOPNOTSUPP: flags; ENOENT: no such IOAS; EADDRINUSE: its areas are not on pages; ENOMEM. */
export function* createAccess(
  call: TestCall,
  id: number,
  arm: StructOf<typeof iommu_test_create_access>,
): Op<IoctlResult> {
  if (arm.flags & ~MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES) return fail('EOPNOTSUPP');
  const { context } = call.file;
  const access = new Access(arm.flags !== 0);
  const reserved = context.objects.reserve(access);
  if (!reserved.ok) return reserved;
  context.objects.finalize(access);
  const made = yield* giveAccess(call, access, id, arm);
  if (!made.ok) yield* destroyAccess(context, access);
  return made;
}

function* giveAccess(
  call: TestCall,
  access: Access,
  id: number,
  arm: StructOf<typeof iommu_test_create_access>,
): Op<IoctlResult> {
  const { context, files } = call.file;
  const ioas = yield* hold(context.objects, id, isIoas);
  if (!ioas.ok) return ioas;
  const joined = joinIoas(access, ioas.value);
  if (!joined.ok) return joined;
  const opened = files.open(call.req, { kind: 'iommufd-access', context, object: access });
  if (!opened.ok) return fail('ENOMEM');
  const told = answer(call, iommu_test_create_access, arm, { out_access_fd: 0 });
  if (told.ok) call.returnFile(opened.value);
  else files.undo(opened.value, call.client);
  return told.ok ? done : told;
}

/** EBADFD; ENOENT: no such item. */
export function* destroyAccessPages(
  call: TestCall,
  fd: number,
  { access_pages_id: id }: StructOf<typeof iommu_test_destroy_access_pages>,
): Op<IoctlResult> {
  const access = accessOf(call, fd);
  if (!access.ok) return access;
  yield* lockWrite(access.value.lock);
  const item = access.value.items.find((each) => each.id === id);
  if (!item) return fail('ENOENT');
  access.value.items = access.value.items.filter((each) => each !== item);
  yield* unpinSlices(item.slices);
  return done;
}

/** EBADFD; ENOENT: the access has no IOAS, or there is no such new one; EADDRINUSE. */
export function* accessReplaceIoas(
  call: TestCall,
  fd: number,
  { ioas_id }: StructOf<typeof iommu_test_access_replace_ioas>,
): Op<IoctlResult> {
  const access = accessOf(call, fd);
  if (!access.ok) return access;
  if (!access.value.ioas) return fail('ENOENT');
  const ioas = yield* hold(call.file.context.objects, ioas_id, isIoas);
  if (!ioas.ok) return ioas;
  const replaced = yield* replaceIoas(access.value, ioas.value);
  return replaced.ok ? done : replaced;
}

type PagesArm = StructOf<typeof iommu_test_access_pages>;

/**
 * Pins pages and checks that they are those behind `uptr`. ENOMEM: over 16 MiB; EOPNOTSUPP: flags, or an access that does
 * not pin; EBADFD; then as `pinPages`; EFAULT, EBADE: no page, or another one, behind `uptr`.
 */
export function* accessPages(call: TestCall, fd: number, arm: PagesArm): Op<IoctlResult> {
  if (arm.length > MAX_ACCESS) return fail('ENOMEM');
  if (arm.flags & ~(MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ)) return fail('EOPNOTSUPP');
  const access = accessOf(call, fd);
  if (!access.ok) return access;
  if (!access.value.pins) return fail('EOPNOTSUPP');
  const iova = arm.flags & MOCK_FLAGS_ACCESS_SYZ ? nthAreaIova(access.value.ioas, arm.iova) : arm.iova;
  yield* lockWrite(access.value.lock);
  return yield* pinItem(call, access.value, { ...arm, iova });
}

function* pinItem(call: TestCall, access: Access, arm: PagesArm): Op<IoctlResult> {
  const { iova, length, uptr } = arm;
  if (length === 0n) return fail('EINVAL');
  const last = iova + length - 1n;
  if (last > U64_MAX) return fail('EOVERFLOW');
  if (!access.ioas) return fail('ENOENT');
  const pinned = yield* pinPages(access.ioas, { start: iova, last }, (arm.flags & MOCK_FLAGS_ACCESS_WRITE) !== 0);
  if (!pinned.ok) return pinned;
  const kept = uptr === 0n ? ok(undefined) : yield* compare(call.client, uptr - (iova % PAGE), pinned.value);
  const id = access.nextItem;
  const told = kept.ok ? answer(call, iommu_test_access_pages, arm, { out_access_pages_id: id }) : kept;
  if (kept.ok) access.nextItem++;
  if (told.ok) access.items.push({ id, start: iova, last, slices: pinned.value.slices });
  else yield* unpinSlices(pinned.value.slices);
  return told.ok ? done : told;
}

/** EFAULT: the caller has no page there; EBADE: it is another one. */
function* compare(client: string, uptr: bigint, { runs }: Pinned): Op<Result<void>> {
  const pages = framesOf(runs);
  const args = { client, page: Number(uptr / PAGE), count: pages.length };
  const own = framesOf(yield* ask(PAGES, pagesApi.pageFrames, args));
  for (const [i, frame] of pages.entries())
    if (own[i] !== frame) return fail(own[i] === undefined ? 'EFAULT' : 'EBADE');
  return ok(undefined);
}

const framesOf = (runs: readonly Run[]): number[] =>
  runs.flatMap(({ frame, count }) => Array.from({ length: count }, (_, i) => frame + i));
