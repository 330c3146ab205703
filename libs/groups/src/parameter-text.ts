/**
 * Values as the kernel reads them from writes to files: kstrtobool() and kstrtouint().
 *
 * Rule: what is not understood is EINVAL, what does not fit 32 bits is ERANGE.
 */
import { fail, ok, type Result } from '@vfiolab/uapi';

const U32_MAX = 0xffffffff;

/** The first letter decides: y, t, 1, on; n, f, 0, off. */
export function readBoolean(data: string): Result<number> {
  if (/^([yt1]|on)/i.test(data)) return ok(1);
  return /^([nf0]|of)/i.test(data) ? ok(0) : fail('EINVAL');
}

/** Decimal, 0x hexadecimal or 0 octal; a newline may follow. */
export function readNumber(data: string): Result<number> {
  const [, hex, octal, decimal] = /^\+?(?:0x([0-9a-f]+)|0([0-7]*)|([1-9][0-9]*))\n?$/i.exec(data) ?? [];
  if (hex === undefined && octal === undefined && decimal === undefined) return fail('EINVAL');
  const value =
    decimal !== undefined ? Number(decimal) : hex !== undefined ? parseInt(hex, 16) : parseInt(`0${octal}`, 8);
  return value > U32_MAX ? fail('ERANGE') : ok(value);
}
