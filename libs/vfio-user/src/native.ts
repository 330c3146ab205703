/**
 * The addon (native/): descriptors in messages, memory of another process, eventfds.
 *
 * Rule: it answers what the kernel answers, negative errnos included; what they mean is decided by who asked.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What `watch` gives. */
export type Watcher = object;
export const READABLE = 1;
export const WRITABLE = 2;
/** With the events of `watch`: it does not keep the process running. */
export const BACKGROUND = 4;

export interface Native {
  /** A listening socket of mode 0600. */
  listen(path: string): number;
  accept(fd: number): number;
  connect(path: string): number;
  /** Bytes read into `buffer` from index `from` on, 0 at the end. `fds[0]`: how many descriptors follow in it; -1: too many. */
  receive(fd: number, buffer: Uint8Array, from: number, fds: Int32Array): number;
  /**
   * The same for a message: its header, and of its body what has come, when the buffer has room for all of it. What has not
   * begun to come is waited for, by looking again and again, for so many microseconds.
   */
  next(fd: number, buffer: Uint8Array, from: number, fds: Int32Array, patience: number): number;
  /** Bytes written of [from, to). */
  send(fd: number, buffer: Uint8Array, from: number, to: number, fds?: Int32Array): number;
  close(fd: number): number;
  /** The number of a mapping of the file's bytes. EINVAL: it ends before; ENODEV: no file that can be mapped. */
  map(fd: number, offset: number, length: number, writable: number): number;
  /** Bytes of a mapping from `at` on. EFAULT: not all of them are there, or they are read-only. */
  peek(mapping: number, at: number, into: Uint8Array): number;
  poke(mapping: number, at: number, data: Uint8Array): number;
  unmap(mapping: number): number;
  /** Mappings that there are. */
  mapped(): number;
  /** Pages that peers cut off behind our back, in this process so far; they read as zero. */
  faults(): number;
  memfd(length: number): number;
  truncate(fd: number, length: number): number;
  eventfd(): number;
  eventWrite(fd: number, value: number): number;
  eventRead(fd: number): number;
  watch(fd: number, events: number, ready: (events: number) => void): Watcher | number;
  rewatch(watcher: Watcher, events: number): number;
  unwatch(watcher: Watcher): number;
}

const ADDON = fileURLToPath(new URL('../build/Release/vfio_user.node', import.meta.url));
/** The benchmark's server in C. */
export const ANSWERER = fileURLToPath(new URL('../build/Release/answerer', import.meta.url));

let loaded: Native | undefined;

/** Loaded when it is first needed. Throws when it was not compiled. */
export function native(): Native {
  if (loaded) return loaded;
  try {
    loaded = createRequire(import.meta.url)(ADDON) as Native;
  } catch (error) {
    throw new Error(
      `vfio-user needs its addon, which cannot be loaded: ${(error as Error).message.split('\n', 1)[0]}. ` +
        'Compile it with: node libs/vfio-user/native/build.mjs (needs python3, make and g++)',
    );
  }
  return loaded;
}
