/** Asking a running actor about itself. */
import { type Address, bootApi } from '@vfiolab/core';
import type { Link } from '@vfiolab/client';

export interface Inspection {
  readonly lines: string[];
  readonly broken: string[];
  readonly figures: Record<string, number>;
  /** Operations in flight. */
  readonly busy: number;
}

export async function inspectActor(link: Link, address: Address): Promise<Inspection> {
  const { lines, broken, figures, busy } = await link.call(address, bootApi.inspect, undefined);
  return { lines, broken, busy, figures: Object.fromEntries(figures.map((f) => [f.name, f.value])) };
}
