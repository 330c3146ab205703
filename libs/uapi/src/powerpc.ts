/**
 * ioctl numbers as programs of powerpc send them.
 *
 * Words: the *direction* of a number says whether its argument is written (1) or read (2), in the two highest bits, above a
 * size of 14 bits. powerpc has three bits for it, where nothing is 1, read 2 and write 4, above a size of 13 bits.
 * Rule: type and number, the low 16 bits, are the same everywhere.
 */
const LOW = 0xffff;
const [GENERIC_SIZE, POWERPC_SIZE] = [0x3fff, 0x1fff];
/** By the generic direction. */
const DIRECTIONS = [1, 4, 2, 6] as const;

export const toPowerpc = (nr: number): number =>
  ((DIRECTIONS[nr >>> 30]! << 29) | (nr & (POWERPC_SIZE << 16)) | (nr & LOW)) >>> 0;

/** Undefined: no macro makes such a number. */
export function fromPowerpc(nr: number): number | undefined {
  const direction = (DIRECTIONS as readonly number[]).indexOf(nr >>> 29);
  return direction < 0
    ? undefined
    : ((direction << 30) | (nr & (POWERPC_SIZE << 16) & (GENERIC_SIZE << 16)) | (nr & LOW)) >>> 0;
}
