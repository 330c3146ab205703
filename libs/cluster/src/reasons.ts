/** Why a host does not take a request. The first that applies, in this order, is told. */
export const REASONS = [
  'fits',
  'down',
  'model',
  'cpu',
  'memory',
  'devices',
  'vf',
  'group',
  'numa',
  'switch',
  'link',
  'pinned-memory',
  'hugepages',
  'memlock',
] as const;
export type Reason = (typeof REASONS)[number];

export const REASON = Object.fromEntries(REASONS.map((reason, i) => [reason, i])) as Record<Reason, number>;
