/**
 * VF tokens: who opens a VF of a PF that a user drives shows that they trust each other (semantics A3.7).
 *
 * Rule: the token is the PF's, and is kept while vfio-pci is bound to it. One that nobody has set matches none: the kernel makes
 * it by chance.
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Device, Host } from './host.js';
import { pfOf, vfsOf } from './virtual-functions.js';

const DONE = ok(undefined);

const same = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a !== undefined && b?.length === a.length && a.every((byte, i) => byte === b[i]);

export const isOpen = ({ vfio, cdevClaims }: Device): boolean => cdevClaims > 0 || (vfio?.uses.length ?? 0) > 0;

/**
 * A device is being opened with or without a token. EACCES: another one is asked for; EINVAL: none is asked for. A PF whose VFs
 * nobody uses takes it as its own.
 */
export function matchToken(host: Host, device: Device, token: Uint8Array | undefined): Result<undefined> {
  if (device.facts.isVf) {
    const pf = pfOf(host, device)?.vfio;
    if (!pf) return token ? fail('EINVAL') : DONE;
    return same(pf.token, token) ? DONE : fail('EACCES');
  }
  if (!device.vfs || !device.vfio) return token ? fail('EINVAL') : DONE;
  if (vfsOf(host, device).some(isOpen)) return same(device.vfio.token, token) ? DONE : fail('EACCES');
  if (token) device.vfio.token = token;
  return DONE;
}

/** A UUID as the 16 bytes that it stands for, in the order of its text. */
export const tokenOf = (uuid: string): Uint8Array =>
  Uint8Array.from(uuid.replaceAll('-', '').match(/../g)!, (byte) => parseInt(byte, 16));
