/**
 * Errnos of x86-64 Linux, by name and number, and the result type every kernel-like function returns.
 *
 * The one rule: an errno is a value. It is returned, never thrown; an exception means a bug of ours.
 * ENOTSUPP (524) is internal to the kernel but does reach user space from a few drivers, so it has a place here;
 * ENOIOCTLCMD never does (the system call turns it into ENOTTY), so it has none.
 */

const numbers = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  ECHILD: 10,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  ESPIPE: 29,
  EROFS: 30,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ELOOP: 40,
  ENOMSG: 42,
  EBADE: 52,
  ENODATA: 61,
  ETIME: 62,
  EPROTO: 71,
  EOVERFLOW: 75,
  EBADFD: 77,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  ECONNRESET: 104,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EREMOTEIO: 121,
  ECANCELED: 125,
  ENOTSUPP: 524,
} as const;

export type Errno = keyof typeof numbers;

const names: ReadonlyMap<number, Errno> = new Map(
  Object.entries(numbers).map(([name, number]) => [number, name as Errno]),
);

/** Every errno name, in numeric order. */
export const errnos = Object.keys(numbers) as readonly Errno[];

/** The positive number user space sees in `errno`. */
export const errnoNumber = (name: Errno): number => numbers[name];

/** The name of a positive errno number, or undefined when no ioctl of ours can return it. */
export const errnoName = (number: number): Errno | undefined => names.get(number);

export const isErrno = (text: string): text is Errno => Object.hasOwn(numbers, text);

export interface Ok<T> {
  readonly ok: true;
  readonly value: T;
}

export interface Fail {
  readonly ok: false;
  readonly errno: Errno;
}

export type Result<T> = Ok<T> | Fail;

export const ok = <T>(value: T): Ok<T> => ({ ok: true, value });

export const fail = (errno: Errno): Fail => ({ ok: false, errno });
