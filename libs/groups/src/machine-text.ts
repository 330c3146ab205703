/**
 * A machine's description on its way in: text in pieces, because one message is smaller than one machine.
 *
 * Rule: pieces come in order from number 0; number 0 always starts anew, so a broken description can be replaced.
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import { LIMITS } from './limits.js';

export class MachineText {
  private pieces: string[] = [];
  private length = 0;

  /** EINVAL: not the next piece. E2BIG: too many pieces or characters. A refused piece changes nothing. */
  add(part: number, text: string): Result<undefined> {
    if (part !== 0 && part !== this.pieces.length) return fail('EINVAL');
    const before = part === 0 ? 0 : this.length;
    if (part >= LIMITS.pieces || before + text.length > LIMITS.textLength) return fail('E2BIG');
    if (part === 0) this.clear();
    this.pieces.push(text);
    this.length += text.length;
    return ok(undefined);
  }

  get count(): number {
    return this.pieces.length;
  }

  /** All pieces as one text. */
  joined(): string {
    return this.pieces.join('');
  }

  clear(): void {
    this.pieces = [];
    this.length = 0;
  }

  get all(): readonly string[] {
    return this.pieces;
  }
}
