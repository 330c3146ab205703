/** A path or a file that was given cannot be used. The message says what is wrong and where. */
export class InputError extends Error {}
