/**
 * Unguessable bytes, drawn in bulk: one system call for many capabilities.
 *
 * Rule: no byte is given out twice.
 */
import { randomBytes } from 'node:crypto';

const POOL = 8192;

export class EntropyPool {
  private pool = new Uint8Array(0);
  private at = 0;

  /** `n` bytes, a view of the pool: valid for ever, as a pool is not written again. */
  readonly take = (n: number): Uint8Array => {
    if (this.at + n > this.pool.length) {
      this.pool = randomBytes(Math.max(POOL, n));
      this.at = 0;
    }
    this.at += n;
    return this.pool.subarray(this.at - n, this.at);
  };
}
