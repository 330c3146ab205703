/** DMABUF_GET and DMABUF_REVOKE: the self-test as the exporter of a dma-buf. Semantics B8.2, B8.3. */
import {
  fail,
  type iommu_test_dmabuf_get,
  type iommu_test_dmabuf_revoke,
  ok,
  PAGE_SIZE,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import { type FdArgument, type IoctlResult, lockWrite, type Op, unlock } from '@vfiolab/core';
import { type Context, isIoas } from '../context.js';
import { clear } from '../fill.js';
import type { Ioas } from '../ioas.js';
import type { OpenFiles } from '../open-files.js';
import { done, type TestCall } from './call.js';
import { type Dmabuf, MAX_DMABUF_PAGES } from './dmabuf.js';

/**
 * A new dma-buf of `length` bytes, rounded up to pages, as a file; how it is opened does not matter here.
 * EINVAL: none, or over 512 pages; ENOMEM; EMFILE.
 */
export function* dmabufGet(
  call: TestCall,
  _id: number,
  { length }: StructOf<typeof iommu_test_dmabuf_get>,
): Op<IoctlResult> {
  const pages = Math.ceil(Number(length) / PAGE_SIZE);
  if (pages === 0 || pages > MAX_DMABUF_PAGES) return fail('EINVAL');
  const made = call.file.dmabufs.make(pages);
  if (!made.ok) return made;
  const opened = call.file.files.open(call.req, { kind: 'dmabuf', object: made.value });
  if (!opened.ok) {
    made.value.closeFile();
    return opened;
  }
  call.returnFile(opened.value);
  return done;
}

/** The dma-buf behind a file, if it is one of ours. */
export function dmabufBehind(files: OpenFiles, { token }: FdArgument, client: string): Dmabuf | undefined {
  const file = files.get(token, client);
  return file?.kind === 'dmabuf' ? file.object : undefined;
}

/** Takes the memory away from everybody, or lends it out again to whom maps it anew. EBADF; EINVAL: another kind of file. */
export function* dmabufRevoke(
  call: TestCall,
  _id: number,
  { dmabuf_fd, revoked }: StructOf<typeof iommu_test_dmabuf_revoke>,
): Op<IoctlResult> {
  const dmabuf = dmabufOf(call, dmabuf_fd);
  if (!dmabuf.ok) return dmabuf;
  if (revoked) yield* revoke(call.file.contexts.values(), dmabuf.value);
  else dmabuf.value.revoked = false;
  return done;
}

function dmabufOf(call: TestCall, fd: number): Result<Dmabuf> {
  const named = call.fds.find((f) => f.fd === fd);
  if (!named) return fail('EBADF');
  const dmabuf = dmabufBehind(call.file.files, named, call.client);
  return dmabuf ? ok(dmabuf) : fail('EINVAL');
}

/** Answers when no domain has a PTE to its memory any more. Fills that begin from now on skip its stores. */
function* revoke(contexts: Iterable<Context>, dmabuf: Dmabuf): Op<void> {
  dmabuf.revoke();
  const all = [...contexts].flatMap((context) => context.objects.all().filter(isIoas));
  for (const ioas of all.filter((each) => mayShow(each, dmabuf))) yield* emptyIn(ioas, dmabuf);
}

/** An area that is being built does not tell yet. */
const mayShow = (ioas: Ioas, dmabuf: Dmabuf): boolean =>
  [...ioas.areas].some(({ store }) => !store || store.dmabuf === dmabuf);

/** Held for writing, the lock waits for fills on their way, of areas and of domains, so that none writes PTEs later. */
function* emptyIn(ioas: Ioas, dmabuf: Dmabuf): Op<void> {
  yield* lockWrite(ioas.domainsLock);
  const areas = [...ioas.areas].filter(({ store }) => store?.dmabuf === dmabuf);
  if (areas.length > 0) yield* clear(areas, ioas.hwpts);
  yield* unlock(ioas.domainsLock);
}
