/**
 * Bounds of the lab service. Rule: whatever a caller can make grow is checked against one of these before it grows.
 */
export const LIMITS = {
  /** Actors whose instances are known; one more gets no authority. */
  actors: 4096,
  /** Characters of an instance's name. */
  instance: 128,
  /** Characters of a machine's name. */
  machine: 200,
  /** Hosts of a lab whose placements are known. */
  hosts: 4096,
  /** Characters of a host's or an instance's name in a placement. */
  name: 64,
  /** Frames of 4 KiB: 256 TiB. */
  frames: 2 ** 36,
} as const;
