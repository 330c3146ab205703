/**
 * The file descriptors of a program.
 *
 * Words: an *fd* is a small number; behind it is an *open file*, which several fds and mappings may share.
 * Rule: a new fd is the lowest number that is free; 0 to 2 are taken, as in every program: they are /dev/null, and stay open.
 */
import { type Address, PAGES, STDIO_TOKEN } from '@vfiolab/core';

export interface OpenFile {
  readonly token: string;
  readonly owner: Address;
  /** What kind of file it is, as its service calls it. */
  readonly kind: string;
  /** fds and mappings that share it (dup, mmap). */
  users: number;
  /** Where the next read or write of a device's file begins; shared by all users. */
  position?: number;
}

const FIRST_FD = 3;
const isStdio = (fd: number): boolean => fd >= 0 && fd < FIRST_FD;

export class Descriptors {
  private readonly files = new Map<number, OpenFile>();
  private readonly stdio: OpenFile = { token: STDIO_TOKEN, owner: PAGES, kind: 'null', users: FIRST_FD };

  get(fd: number): OpenFile | undefined {
    return isStdio(fd) ? this.stdio : this.files.get(fd);
  }

  install(file: OpenFile): number {
    let fd = FIRST_FD;
    while (this.files.has(fd)) fd++;
    this.files.set(fd, file);
    return fd;
  }

  /** Under a number that is free. */
  put(fd: number, file: OpenFile): void {
    this.files.set(fd, file);
  }

  /** Undefined: no file that could be closed. */
  drop(fd: number): OpenFile | undefined {
    const file = this.files.get(fd);
    this.files.delete(fd);
    return file;
  }

  /** Those that the program opened, lowest first. */
  numbers(): number[] {
    return [...this.files.keys()].sort((a, b) => a - b);
  }

  clear(): void {
    this.files.clear();
  }
}
