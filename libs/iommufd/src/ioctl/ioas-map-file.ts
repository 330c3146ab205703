/** IOMMU_IOAS_MAP_FILE: map pages of a file, whoever has them mapped (semantics B8.1), or memory of a dma-buf (B8.2). */
import { fail, type iommu_ioas_map_file, ok, PAGE_SIZE, type Result, type StructOf } from '@vfiolab/uapi';
import {
  call as ask,
  deviceOf,
  type FdArgument,
  type IoctlResult,
  lockRead,
  type Op,
  PAGES,
  pagesApi,
  unlock,
} from '@vfiolab/core';
import { isIoas } from '../context.js';
import type { Ioas, Store } from '../ioas.js';
import { judgeRange, mapSlices, mapUser } from '../map.js';
import { hold } from '../objects.js';
import { dmabufBehind } from '../selftest/dmabuf-ops.js';
import { U64_MAX } from '../spans.js';
import { putStore } from '../stores.js';
import type { Call } from './call.js';
import { FIXED, KNOWN_MAP_FLAGS, protOf, WRITEABLE } from './map-flags.js';

/**
 * The order of checks is the kernel's (trace c061): EOPNOTSUPP: flags; EOVERFLOW: the ends; EINVAL: no protection; ENOENT:
 * IOAS; EINVAL, EOVERFLOW: the range (of a dma-buf only EINVAL: c070); and only then EBADF: the fd. Then ENODEV: a dma-buf
 * that was taken away, and as MAP: EINVAL, EOVERFLOW, EEXIST, ENOSPC, EFAULT, ENOMEM. How the file was opened does not
 * matter: a read-only fd may be mapped for writing (trace c064).
 */
export function* ioasMapFile(
  call: Call<typeof iommu_ioas_map_file>,
  cmd: StructOf<typeof iommu_ioas_map_file>,
): Op<IoctlResult> {
  if (cmd.flags & ~KNOWN_MAP_FLAGS) return fail('EOPNOTSUPP');
  if (cmd.iova === U64_MAX || cmd.length === U64_MAX) return fail('EOVERFLOW');
  if (protOf(cmd.flags) === 0) return fail('EINVAL');
  const ioas = yield* hold(call.file.context.objects, cmd.ioas_id, isIoas);
  if (!ioas.ok) return ioas;
  const file = call.fds.find(({ fd }) => fd === cmd.fd);
  const lent = file && (yield* storeOf(call, cmd, file));
  if (lent && !lent.ok) return lent;
  const iova = lent ? yield* mapStore(ioas.value, lent.value, cmd) : yield* mapPages(call, ioas.value, cmd, file);
  if (!iova.ok) return iova;
  const told = call.respond({ iova: iova.value });
  return told.ok ? ok(0) : told;
}

type Cmd = StructOf<typeof iommu_ioas_map_file>;
type MapFileCall = Call<typeof iommu_ioas_map_file>;

const placeOf = ({ flags, iova }: Cmd): bigint | undefined => (flags & FIXED ? iova : undefined);

function* mapPages(
  call: Call<typeof iommu_ioas_map_file>,
  ioas: Ioas,
  cmd: Cmd,
  file: FdArgument | undefined,
): Op<Result<bigint>> {
  const foreign = file && (yield* foreignDmabuf(call.client, file));
  if (foreign !== undefined) return fail(isWithin(cmd, foreign) ? 'EOPNOTSUPP' : 'EINVAL');
  const judged = judgeRange(cmd.start, cmd.length, call.file.flags);
  if (!judged.ok) return judged;
  if (!file) return fail('EBADF');
  const range = {
    client: call.client,
    va: cmd.start,
    length: cmd.length,
    prot: protOf(cmd.flags),
    writable: (cmd.flags & WRITEABLE) !== 0,
    rlimitMode: call.file.context.rlimitMode,
    file: { token: file.owner === PAGES ? file.token : undefined },
  };
  return yield* mapUser(ioas, range, placeOf(cmd));
}

/**
 * Bytes of a dma-buf whose exporter does not lend to iommufd; undefined: no dma-buf. It is met before a place is looked for:
 * EINVAL when the range is not in it, else EOPNOTSUPP, with or without a domain (c072).
 */
function* foreignDmabuf(client: string, { owner, token }: FdArgument): Op<number | undefined> {
  return owner === PAGES ? yield* ask(PAGES, pagesApi.dmabufBytes, { client, token }) : undefined;
}

const isWithin = ({ start, length }: Cmd, bytes: number): boolean => length > 0n && start + length <= BigInt(bytes);

/** A store over a dma-buf of the self-test or of a device, with a reference that is the caller's; undefined: no dma-buf. */
function* storeOf(call: MapFileCall, cmd: Cmd, file: FdArgument): Op<Result<Store> | undefined> {
  const { start, length, flags } = cmd;
  const writable = (flags & WRITEABLE) !== 0;
  const mock = dmabufBehind(call.file.files, file, call.client);
  if (mock) return mock.open(call.client, start, length, writable);
  if (deviceOf(file.owner) === undefined) return undefined;
  const { peers } = call.file;
  yield* lockRead(peers.asking);
  const opened = yield* peers.open(file, call.client, start, length, writable);
  yield* unlock(peers.asking);
  return !opened.ok && opened.errno === 'EBADF' ? undefined : opened;
}

/** The store is there before its place is looked for: an owner that takes its memory back meanwhile takes it along (B8.3). */
function* mapStore(ioas: Ioas, store: Store, cmd: Cmd): Op<Result<bigint>> {
  const { start, length, flags } = cmd;
  const slice = { store, startByte: start % BigInt(PAGE_SIZE), length };
  const iova = yield* mapSlices(ioas, [slice], protOf(flags), (flags & WRITEABLE) !== 0, placeOf(cmd));
  yield* putStore(store);
  return iova;
}
