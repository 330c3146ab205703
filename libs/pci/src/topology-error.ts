/**
 * The one error of this library: a description of a machine that cannot be used.
 *
 * Rule: it says what was wrong, where (text line or JSON path) and what to do; when it is thrown nothing was created.
 */

/** Where in the input a fact came from. `line` is 1-based; `path` is a JSON path such as `functions[3].bdf`. */
export interface Origin {
  readonly line?: number;
  readonly path?: string;
}

export class TopologyError extends Error {
  /** 1-based line of the text input, or null when the input has no lines of its own (JSON, objects). */
  readonly line: number | null;
  /** JSON path of the bad field, or null for text input. */
  readonly path: string | null;
  /** What the reader can do about it. */
  readonly hint: string;

  constructor(what: string, origin: Origin, hint: string) {
    const place =
      origin.line !== undefined ? `line ${origin.line}: ` : origin.path !== undefined ? `${origin.path}: ` : '';
    super(`${place}${what}. ${hint}`);
    this.name = 'TopologyError';
    this.line = origin.line ?? null;
    this.path = origin.path ?? null;
    this.hint = hint;
  }
}

/** Quotes user input in a message, cut so that a broken megabyte line stays readable. */
export const quote = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
