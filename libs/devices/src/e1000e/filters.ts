/**
 * Which frames a port takes: by address, by the multicast table, by VLAN (data sheet, chapter 7.1).
 *
 * Rule: a frame must pass the address filter and the VLAN filter.
 */
import { VLAN, word } from './packet.js';
import * as reg from './registers.js';
import { isBroadcast } from './statistics.js';

/** How far the bits of the multicast table are shifted, by RCTL.MO. */
const SHIFTS = [4, 3, 2, 0] as const;

/** `inexact`: only the multicast table's hash fits. Undefined: the frame is not for this port. */
export function filtered(registers: reg.Registers, frame: Uint8Array): { readonly inexact: boolean } | undefined {
  const control = registers.get(reg.RCTL);
  if (control & reg.RCTL_VLAN_FILTER && !inVlanTable(registers, frame)) return undefined;
  if (isBroadcast(frame)) return control & reg.RCTL_BROADCAST ? { inexact: false } : undefined;
  if (isAddress(registers, frame)) return { inexact: false };
  if (!(frame[0]! & 1)) return control & reg.RCTL_UNICAST_ALL ? { inexact: false } : undefined;
  if (control & reg.RCTL_MULTICAST_ALL) return { inexact: false };
  return inMulticastTable(registers, frame) ? { inexact: true } : undefined;
}

/** Is the frame for one of the receive addresses? */
export function isAddress(registers: reg.Registers, frame: Uint8Array): boolean {
  const low = (frame[0]! | (frame[1]! << 8) | (frame[2]! << 16) | (frame[3]! << 24)) >>> 0;
  const high = frame[4]! | (frame[5]! << 8);
  for (let at = reg.RECEIVE_ADDRESSES; at < reg.RECEIVE_ADDRESSES + 8 * reg.ADDRESSES; at += 8) {
    const upper = registers.get(at + 4);
    if (upper & reg.ADDRESS_VALID && registers.get(at) === low && (upper & 0xffff) === high) return true;
  }
  return false;
}

function inMulticastTable(registers: reg.Registers, frame: Uint8Array): boolean {
  const shift = SHIFTS[(registers.get(reg.RCTL) >>> 12) & 3]!;
  const hash = ((frame[4]! | (frame[5]! << 8)) >>> shift) & 0xfff;
  return ((registers.get(reg.MTA + 4 * (hash >>> 5)) >>> (hash & 31)) & 1) !== 0;
}

function inVlanTable(registers: reg.Registers, frame: Uint8Array): boolean {
  if (word(frame, 12) !== VLAN) return true;
  const id = word(frame, 14) & 0xfff;
  return ((registers.get(reg.VFTA + 4 * (id >>> 5)) >>> (id & 31)) & 1) !== 0;
}
