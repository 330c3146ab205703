/** Values of a rule's clauses: times, ends and devices. */
import { type Address, clientAddress, deviceAddress } from '../address.js';
import type { DeviceFault, FaultParameter } from '../protocol/device-faults.js';
import type { RawRule } from './rule.js';

const DURATION = /^(\d{1,7})(ms|s)$/;

/** Undefined: it is no time. */
export const millisecondsOf = (text: string): number | undefined => {
  const match = DURATION.exec(text);
  return match ? Number(match[1]) * (match[2] === 's' ? 1000 : 1) : undefined;
};

/** `device:0000:41:00.0` and `client:vmm` as addresses; `device` and `client` stand for all of them. */
export function addressOfEnd(end: string): Address {
  if (end.startsWith('device:')) return deviceAddress(end.slice('device:'.length));
  return end.startsWith('client:') ? clientAddress(end.slice('client:'.length)) : end;
}

/** The fault of a device that a `break` rule causes. */
export function deviceFaultOf(raw: RawRule): DeviceFault {
  const number = (name: FaultParameter): number | undefined =>
    raw[name] === undefined ? undefined : Number(raw[name]);
  const iova = raw.iova === undefined ? undefined : BigInt(raw.iova as string | number);
  return {
    ...{ device: String(raw.break), kind: String(raw.with), ms: number('ms'), count: number('count') },
    ...{ every: number('every'), delay: number('delay'), vector: number('vector'), iova, bytes: number('bytes') },
    ...{ write: raw.write === undefined ? undefined : raw.write === true, pasid: number('pasid') },
  };
}
