/**
 * Open files of a service, behind capabilities.
 *
 * Words: a *token* is the capability: 128 random bits, bound to one client. Several tokens may name one
 * open file (grants).
 * Rule: a token in the wrong hands is worth nothing: every look-up names the client that uses it. A file closes with its
 * last token.
 */
import type { Address } from './address.js';
import { type ByteReader, type ByteWriter, tokenOf } from './bytes.js';

export interface Opened<F> {
  readonly file: F;
  readonly client: Address;
}

/** A client holds at most this many files at one service (RLIMIT_NOFILE's usual hard limit). */
export const MAX_FILES_PER_CLIENT = 4096;

export class FileTable<F extends { readonly id: number }> {
  private readonly byToken = new Map<string, Opened<F>>();
  private readonly tokensOf = new Map<Address, Set<string>>();
  private readonly holders = new Map<number, number>();

  /** Opens under 16 of the given random bytes; undefined when the client has too many files open. */
  open(client: Address, file: F, entropy: Uint8Array): string | undefined {
    const mine = this.tokensOf.get(client) ?? new Set();
    if (mine.size >= MAX_FILES_PER_CLIENT) return undefined;
    const token = tokenOf(entropy);
    this.put(token, client, file);
    return token;
  }

  private put(token: string, client: Address, file: F): void {
    this.byToken.set(token, { file, client });
    const mine = this.tokensOf.get(client);
    if (mine) mine.add(token);
    else this.tokensOf.set(client, new Set([token]));
    this.holders.set(file.id, (this.holders.get(file.id) ?? 0) + 1);
  }

  get(token: string, client: Address): F | undefined {
    const opened = this.byToken.get(token);
    return opened?.client === client ? opened.file : undefined;
  }

  /** Drops one token. Answers the file when that was its last, undefined when the token is not this client's. */
  close(token: string, client: Address): { file: F; last: boolean } | undefined {
    const opened = this.byToken.get(token);
    if (opened?.client !== client) return undefined;
    this.byToken.delete(token);
    const mine = this.tokensOf.get(client)!;
    mine.delete(token);
    if (mine.size === 0) this.tokensOf.delete(client);
    const left = this.holders.get(opened.file.id)! - 1;
    if (left > 0) this.holders.set(opened.file.id, left);
    else this.holders.delete(opened.file.id);
    return { file: opened.file, last: left === 0 };
  }

  /** The tokens of a client, in the order in which they were opened. */
  of(client: Address): string[] {
    return [...(this.tokensOf.get(client) ?? [])];
  }

  get size(): number {
    return this.byToken.size;
  }

  encode(w: ByteWriter): void {
    w.list(this.byToken, ([token, { file, client }]) => {
      w.token(token);
      w.str(client);
      w.num(file.id);
    });
  }

  decode(r: ByteReader, fileOf: (id: number) => F): void {
    for (const [token, client, id] of r.list(() => [r.token(), r.str(), r.num()] as const))
      this.put(token, client, fileOf(id));
  }
}
