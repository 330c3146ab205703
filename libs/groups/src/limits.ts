/**
 * Bounds of the groups service. Rule: whatever a caller can make grow is checked against one of these before it grows.
 */
export const LIMITS = {
  /** Pieces in which a machine's description may come. */
  pieces: 64,
  /** Characters of all pieces together: 8 Mi; a 300-function machine with full hex dumps has about 4 Mi. */
  textLength: 8 * 1024 * 1024,
  /** PATH_MAX with its closing NUL. */
  path: 4096,
  /** NAME_MAX. */
  name: 255,
  /** A sysfs write hands at most one page to the attribute and answers how much it took. */
  attribute: 4096,
  /** Files that the VFIO device of a VM holds (ENOMEM beyond). */
  heldByVm: 4096,
  /** Ids added to one driver through new_id (ENOMEM beyond). */
  dynamicIds: 1024,
} as const;
