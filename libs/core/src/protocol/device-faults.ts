/**
 * Faults of devices that an operator can cause: the one list of their names, what each of them does, and its parameters.
 *
 * Words: a *kind* names a fault; its *parameters* are numbers with bounds. Times are in ms.
 * Rule: a fault that passes `faultError` is well formed; whether its function can have it only the services know, and they say so in
 * words too. Nothing has happened when a fault is refused.
 */
import { bool, message, num, optional, str, u32, u64, type ValueOf } from '../codec.js';
import { MAX_DMA } from './iommu.js';

/** What was left out is undefined: without `ms` or `count` a fault lasts until it is cleared. */
export const deviceFault = message({
  /** BDF of the function. */
  device: str,
  kind: str,
  ms: optional(num),
  count: optional(u32),
  every: optional(u32),
  delay: optional(u32),
  vector: optional(u32),
  iova: optional(u64),
  bytes: optional(u32),
  write: optional(bool),
  pasid: optional(u32),
});
export type DeviceFault = ValueOf<typeof deviceFault>;
export type FaultParameter = Exclude<keyof DeviceFault, 'device' | 'kind'>;

interface Bounds {
  readonly least: bigint;
  readonly most: bigint;
  readonly what: string;
}

const bounds = (least: number, most: number, what: string): Bounds => ({
  least: BigInt(least),
  most: BigInt(most),
  what,
});

/** Every parameter, with its bounds; those of a truth value are 0 and 1. */
export const FAULT_PARAMETERS: Readonly<Record<FaultParameter, Bounds>> = {
  ms: bounds(1, 3_600_000, 'ms that it lasts; left out: until it is cleared'),
  count: bounds(1, 1000, 'how often'),
  every: bounds(1, 1000, 'ms between two of them; left out: 1'),
  delay: bounds(1, 10_000, 'ms that every read of a register takes'),
  vector: bounds(0, 2047, 'interrupt vector; left out: 0'),
  iova: { least: 0n, most: (1n << 64n) - 1n, what: 'where DMA goes, or which page is asked for' },
  bytes: bounds(1, MAX_DMA, 'bytes of one DMA; left out: 64'),
  write: bounds(0, 1, 'DMA that writes; left out: it reads'),
  pasid: bounds(0, 0xfffff, "address space; left out: the function's own"),
};

export interface FaultKind {
  /** One line for people. */
  readonly what: string;
  readonly takes: readonly FaultParameter[];
  /** Those of `takes` that must be given. */
  readonly needs?: readonly FaultParameter[];
}

/** Every fault there is. */
export const DEVICE_FAULTS = {
  'link-down': {
    what: 'The link goes down: registers read ones, writes are lost, DMA stops; out of a hot-plug slot the device is taken away.',
    takes: ['ms'],
  },
  'link-up': { what: 'The link comes up again: a device that was taken away is found again.', takes: [] },
  'stuck-reset': {
    what: 'After each of the next resets (count) the function does not answer, for so long (ms).',
    takes: ['ms', 'count'],
  },
  'slow-reset': {
    what: 'The next resets (count) take so much longer (ms), as a reset does that gets there in the end.',
    takes: ['ms', 'count'],
    needs: ['ms'],
  },
  'failing-reset': { what: 'The next attempts (count) to reset the function do not reset it.', takes: ['count'] },
  'aer-correctable': { what: 'The function reports a correctable error: the port counts it.', takes: [] },
  'aer-nonfatal': {
    what: 'The function reports an error that is not fatal: drivers behind its port are told.',
    takes: [],
  },
  'aer-fatal': {
    what: 'The function reports a fatal error: drivers behind its port are told, and the bus is reset.',
    takes: [],
  },
  'interrupt-storm': {
    what: 'The function interrupts again and again.',
    takes: ['vector', 'count', 'every'],
    needs: ['count'],
  },
  'dma-storm': {
    what: 'The function reads or writes memory again and again, whether it may or not.',
    takes: ['iova', 'bytes', 'write', 'pasid', 'count', 'every'],
    needs: ['iova', 'count'],
  },
  'ats-timeout': {
    what: 'The function does not answer invalidations of the translations that it keeps (ATS).',
    takes: ['ms'],
  },
  'page-flood': {
    what: 'The function asks for the same page again and again, at once (PRI).',
    takes: ['iova', 'write', 'pasid', 'count'],
    needs: ['iova', 'count'],
  },
  'slow-link': { what: 'Reads of registers take so long (delay).', takes: ['delay', 'ms'], needs: ['delay'] },
  clear: { what: 'Ends every fault of the function.', takes: [] },
} as const satisfies Readonly<Record<string, FaultKind>>;

export type FaultName = keyof typeof DEVICE_FAULTS;
export const faultNames = Object.keys(DEVICE_FAULTS) as FaultName[];

/** A fault with these parameters, and no others. */
export const faultOf = (
  device: string,
  kind: string,
  given: Partial<Omit<DeviceFault, 'device' | 'kind'>> = {},
): DeviceFault => ({ ...NONE, ...given, device, kind });

const isFault = (kind: string): kind is FaultName => Object.hasOwn(DEVICE_FAULTS, kind);
const parameters = Object.keys(FAULT_PARAMETERS) as FaultParameter[];
const NONE = Object.fromEntries(parameters.map((name) => [name, undefined])) as Record<FaultParameter, undefined>;

/** What is wrong with the form of a fault, and what is possible, in words; empty when nothing is. */
export function faultError(fault: DeviceFault): string {
  const { kind } = fault;
  if (!isFault(kind))
    return `There is no fault ${JSON.stringify(kind.slice(0, 60))}. Faults: ${faultNames.join(', ')}.`;
  const { takes, needs = [] }: FaultKind = DEVICE_FAULTS[kind];
  const given = parameters.filter((name) => fault[name] !== undefined);
  const strange = given.find((name) => !takes.includes(name));
  if (strange) return `${kind} has no ${strange}. It takes ${takes.length > 0 ? takes.join(', ') : 'no parameters'}.`;
  const missing = needs.find((name) => !given.includes(name));
  if (missing) return `${kind} needs ${missing}: ${FAULT_PARAMETERS[missing].what}.`;
  for (const name of given) {
    const { least, most } = FAULT_PARAMETERS[name];
    const value = fault[name]!;
    if (BigInt(value) < least || BigInt(value) > most)
      return `${name} of ${kind} is ${value}. It can be ${least} to ${most}.`;
  }
  return '';
}

/** What becomes of a fault: `error` is empty, or says why nothing has happened. */
export const faultReply = message({ error: str });
