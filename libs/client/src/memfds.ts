/**
 * Files in memory of a program: memfd_create and the calls on what it makes.
 *
 * Rule: an fd of another kind of file answers what that kind answers in Linux; only memfds reach the pages service.
 */
import { PAGES, pagesApi } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Descriptors, OpenFile } from './descriptors.js';
import type { Link } from './link.js';

export class Memfds {
  constructor(
    private readonly link: Link,
    private readonly fds: Descriptors,
  ) {}

  /** memfd_create(2); `flags`: MFD_*. EINVAL, EMFILE, ENFILE. */
  async create(flags = 0): Promise<Result<number>> {
    return this.install(await this.link.call(PAGES, pagesApi.memfdCreate, { flags }));
  }

  /** Opens the file behind an fd once more, as open("/proc/self/fd/N") does. EBADF; EOPNOTSUPP: it is no memfd. */
  async reopen(fd: number, writable: boolean): Promise<Result<number>> {
    const file = this.of(fd, 'EOPNOTSUPP');
    if (!file.ok) return file;
    return this.install(await this.link.call(PAGES, pagesApi.memfdOpen, { token: file.value.token, writable }));
  }

  private install(token: Result<string>): Result<number> {
    return token.ok ? ok(this.fds.install({ token: token.value, owner: PAGES, kind: 'memfd', users: 1 })) : token;
  }

  /** The empty memfd becomes what the host's process lends under the name. EBADF; EINVAL: no memfd; else as pagesApi.memfdLend. */
  async lend(fd: number, name: string): Promise<Result<void>> {
    const file = this.of(fd, 'EINVAL');
    return file.ok ? this.link.call(PAGES, pagesApi.memfdLend, { token: file.value.token, name }) : file;
  }

  /** The empty memfd becomes memory that this program answers for; the answer is its number. As `lend`. */
  async remote(fd: number, length: number): Promise<Result<number>> {
    const file = this.of(fd, 'EINVAL');
    return file.ok ? this.link.call(PAGES, pagesApi.memfdRemote, { token: file.value.token, length }) : file;
  }

  /** ftruncate(2). EBADF; EINVAL: no file with a length, or opened for reading only; EPERM: sealed; EFBIG. */
  async truncate(fd: number, length: number): Promise<Result<void>> {
    const file = this.of(fd, 'EINVAL');
    if (length < 0) return fail('EINVAL');
    return file.ok ? this.link.call(PAGES, pagesApi.ftruncate, { token: file.value.token, length }) : file;
  }

  /** fallocate(2); `mode`: FALLOC_FL_*. EBADF, EINVAL, ENODEV: no file with blocks; EOPNOTSUPP, EPERM, EFBIG, ENOSPC. */
  async allocate(fd: number, mode: number, offset: number, length: number): Promise<Result<void>> {
    const file = this.of(fd, 'ENODEV');
    if (offset < 0 || length < 0) return fail('EINVAL');
    if (!file.ok) return file;
    return this.link.call(PAGES, pagesApi.fallocate, { token: file.value.token, mode, offset, length });
  }

  /** fcntl(F_ADD_SEALS). EBADF; EINVAL: no memfd, or unknown seals; EPERM, EBUSY. */
  async seal(fd: number, seals: number): Promise<Result<void>> {
    const file = this.of(fd, 'EINVAL');
    return file.ok ? this.link.call(PAGES, pagesApi.addSeals, { token: file.value.token, seals }) : file;
  }

  private of(fd: number, otherKind: 'EINVAL' | 'ENODEV' | 'EOPNOTSUPP'): Result<OpenFile> {
    const file = this.fds.get(fd);
    if (!file) return fail('EBADF');
    return file.kind === 'memfd' ? ok(file) : fail(otherKind);
  }
}
