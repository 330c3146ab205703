/**
 * The switch inside of the card: who a frame goes to, between the PF, its VFs and the network.
 *
 * Words: the *network* is the card's physical port. A VF that is in a VLAN does not know: its frames get the tag in the switch
 * and lose it on their way back.
 * Rule: a VF has the frames for the address it was granted, those for groups and for everyone, of its VLAN, and no others; it
 * sends under its own address, unless the PF trusts it. What nobody here is known for goes to the network; what comes from there
 * and is for no VF, to the PF.
 */
import { VLAN, word } from '../e1000e/packet.js';
import { untagged, withTag } from '../e1000e/vlan.js';
import { MAX_FRAME } from '../model.js';
import type { Row } from './row.js';

export const [PF, NETWORK] = ['pf', 'network'] as const;
/** A number: that VF. */
export type End = typeof PF | typeof NETWORK | number;

export interface Routed {
  readonly to: End;
  readonly frame: Uint8Array;
}

/** `isPf`: is an address one of the PF's? Undefined: the frame is dropped. */
export function route(
  rows: readonly Row[],
  from: End,
  sent: Uint8Array,
  isPf: (frame: Uint8Array) => boolean,
): readonly Routed[] | undefined {
  const frame = typeof from === 'number' ? admitted(rows[from], sent) : sent;
  if (!frame) return undefined;
  const isFor = (row: Row): boolean => row.enabled && (row.vlan === undefined || row.vlan === vlanOf(frame));
  const toVf = (n: number): Routed => ({ to: n, frame: rows[n]!.vlan === undefined ? frame : untagged(frame) });
  if (frame[0]! & 1) {
    const vfs = rows.flatMap((row, n) => (n !== from && isFor(row) ? [toVf(n)] : []));
    const others = [PF, NETWORK].filter((end) => end !== from);
    return [...vfs, ...others.map((to) => ({ to, frame }))];
  }
  const vf = rows.findIndex((row) => isFor(row) && row.mac !== undefined && startsWith(frame, row.mac));
  if (vf >= 0) return vf === from ? undefined : [toVf(vf)];
  if (from === NETWORK) return [{ to: PF, frame }];
  return [{ to: from !== PF && isPf(frame) ? PF : NETWORK, frame }];
}

/** A VF's frame as it is in the switch; undefined: the VF may not send it. */
function admitted(row: Row | undefined, frame: Uint8Array): Uint8Array | undefined {
  if (!row?.enabled || frame.length < 14) return undefined;
  if (!row.trusted && !(row.mac && startsWith(frame.subarray(6), row.mac))) return undefined;
  if (row.vlan === undefined) return frame;
  const fits = vlanOf(frame) === undefined && frame.length + 4 <= MAX_FRAME;
  return fits ? withTag(frame, VLAN, row.vlan) : undefined;
}

const vlanOf = (frame: Uint8Array): number | undefined =>
  word(frame, 12) === VLAN ? word(frame, 14) & 0xfff : undefined;

const startsWith = (frame: Uint8Array, address: Uint8Array): boolean => address.every((byte, i) => frame[i] === byte);
