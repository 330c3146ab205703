/** Where in a file something stands. */
export interface Place {
  readonly file: string;
  /** Counted from 1. */
  readonly line?: number;
  readonly field?: string;
}

/** An input that cannot be used: what is wrong, and where. */
export class InputError extends Error {
  constructor(
    readonly problem: string,
    readonly place: Place,
  ) {
    super(`${place.file}${place.line ? `:${place.line}` : ''}: ${place.field ? `${place.field}: ` : ''}${problem}`);
  }
}

/** A text of the input as it may be shown. */
export const quote = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
