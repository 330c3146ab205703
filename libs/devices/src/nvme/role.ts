/**
 * What a controller is among those of its card (section 8.5): alone, the *primary* controller of an SR-IOV PF, or a *secondary*
 * one, of a VF.
 *
 * Words: *resources* of a controller are queue pairs, the admin queue's included, and interrupt vectors. Those that the primary
 * controller can give to one secondary controller or another are *flexible*; what it has given is the other's *grant*.
 */
import { ByteReader, type ByteWriter } from '@vfiolab/core';
import { QUEUES } from './registers.js';

/** VFs that have a secondary controller; those behind them never come online. */
export const MAX_VFS = 16;
/** Flexible resources of each kind that there are for each VF, and that it has from power-on: four queue pairs for blocks. */
export const SHARE = 5;
/** Of each kind, the most that one secondary controller may have. */
export const MOST = QUEUES;
/** Vectors that MSI-X could have; what the function has of them is its own affair. */
const VECTORS = 2048;

export interface Role {
  /** Controller identifier: the PF's is 0, VF n's n + 1. */
  readonly id: number;
  /** Bits of CMIC (Identify Controller): there are several controllers; this one is a VF's. */
  readonly sharing: number;
  readonly queues: number;
  readonly vectors: number;
}

export const [SEVERAL_CONTROLLERS, OF_A_VF] = [2, 4];

export const ALONE: Role = { id: 0, sharing: 0, queues: QUEUES, vectors: VECTORS };

/** What a secondary controller has of flexible resources, and whether it may work. */
export interface Grant {
  readonly online: boolean;
  readonly queues: number;
  readonly vectors: number;
}

/** The least with which a controller can work: an admin queue, one more, and a vector. */
export const suffices = ({ queues, vectors }: Grant): boolean => queues >= 2 && vectors >= 1;

const NONE: Grant = { online: false, queues: 0, vectors: 0 };

/** As after power-on, of VF `n`. */
export const firstGrant = (n: number): Grant => (n < MAX_VFS ? { online: true, queues: SHARE, vectors: SHARE } : NONE);

export const GRANT_BYTES = 5;

export function writeGrant(w: ByteWriter, { online, queues, vectors }: Grant): void {
  w.bool(online);
  w.u16(queues);
  w.u16(vectors);
}

export const readGrant = (r: ByteReader): Grant => ({ online: r.bool(), queues: r.u16(), vectors: r.u16() });

/** What is wrong with a grant, in words. */
export function checkGrant(grant: Grant): string[] {
  const { online, queues, vectors } = grant;
  const few = online && !suffices(grant) ? ['a controller is online without the resources'] : [];
  return queues > MOST || vectors > MOST ? [...few, `${queues} queues and ${vectors} vectors are granted`] : few;
}
