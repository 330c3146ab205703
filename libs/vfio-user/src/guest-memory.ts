/**
 * Memory of a VMM that came as a descriptor: mapped into this process, and lent to the lab in place.
 *
 * Words: a *loan* is one mapping under a name that nobody can guess.
 * Rule: a loan ends only when the lab has let go of it; then nothing of the VMM's memory is left here. Every access is one
 * call of the addon, which knows the bounds: JavaScript never holds the memory itself.
 */
import { randomBytes } from 'node:crypto';
import type { LentBytes } from '@vfiolab/core';
import { errnoName, fail, ok, type Result } from '@vfiolab/uapi';
import type { Native } from './native.js';

export interface Loan {
  readonly name: string;
  readonly mapping: number;
}

/** What a lab is started with, and this fills. */
export type Loans = Map<string, LentBytes>;

export class GuestMemory {
  constructor(
    private readonly native: Native,
    private readonly loans: Loans,
  ) {}

  /** Bytes [offset, offset + length) of the file. EINVAL: it ends before, or the offset is in a page; ENODEV, EACCES, ENOMEM. */
  lend(fd: number, offset: number, length: number, writable: boolean): Result<Loan> {
    const { native } = this;
    const mapping = native.map(fd, offset, length, writable ? 1 : 0);
    if (mapping < 0) return fail(errnoName(-mapping) ?? 'EINVAL');
    const name = randomBytes(16).toString('hex');
    this.loans.set(name, {
      length,
      read: (at, into) => void native.peek(mapping, at, into),
      write: (at, data) => void native.poke(mapping, at, data),
    });
    return ok({ name, mapping });
  }

  /** The lab has no use of it any more. */
  takeBack({ name, mapping }: Loan): void {
    this.loans.delete(name);
    this.native.unmap(mapping);
  }
}
