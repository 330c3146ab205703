/**
 * How a function can be reset on its own, from its config space (semantics D6.1).
 *
 * Rule: methods are answered in the order in which the kernel tries them, under the names that sysfs has for them.
 */
import { standardCaps } from './config-space.js';

const CAP_ID = { pm: 0x01, express: 0x10, advanced: 0x13 } as const;
/** Device capabilities bit 28, in its byte. */
const EXPRESS_FLR = { at: 7, bits: 0x10 } as const;
/** Transactions pending and function level reset: both are needed. */
const ADVANCED_FLR = { at: 3, bits: 0x03 } as const;
const PM_NO_SOFT_RESET = { at: 4, bits: 0x08 } as const;

/** `alone`: no other function is below its bridge, so a reset of the bus is a reset of the function. */
export function resetMethods(config: Uint8Array, alone: boolean): string[] {
  const caps = new Map(standardCaps(config).map(({ id, offset }) => [id, offset]));
  const has = (id: number, { at, bits }: { readonly at: number; readonly bits: number }): boolean => {
    const cap = caps.get(id);
    return typeof cap === 'number' && ((config[cap + at] ?? 0) & bits) === bits;
  };
  const methods: string[] = [];
  if (has(CAP_ID.express, EXPRESS_FLR)) methods.push('flr');
  if (has(CAP_ID.advanced, ADVANCED_FLR)) methods.push('af_flr');
  if (caps.has(CAP_ID.pm) && !has(CAP_ID.pm, PM_NO_SOFT_RESET)) methods.push('pm');
  if (alone) methods.push('bus');
  return methods;
}
