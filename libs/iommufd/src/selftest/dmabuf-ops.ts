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
import { type FdArgument, type IoctlResult, type Op } from '@vfiolab/core';
import type { OpenFiles } from '../open-files.js';
import { emptyEverywhere } from '../revoke.js';
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
  const { value } = dmabuf;
  if (revoked) {
    value.revoke();
    yield* emptyEverywhere(call.file.contexts.values(), (store) => store.dmabuf === value);
  } else value.revoked = false;
  return done;
}

function dmabufOf(call: TestCall, fd: number): Result<Dmabuf> {
  const named = call.fds.find((f) => f.fd === fd);
  if (!named) return fail('EBADF');
  const dmabuf = dmabufBehind(call.file.files, named, call.client);
  return dmabuf ? ok(dmabuf) : fail('EINVAL');
}
