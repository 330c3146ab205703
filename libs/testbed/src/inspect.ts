/** Asking a running actor about itself. */
import { type Address, bootApi } from '@vfiolab/core';
import type { Link } from '@vfiolab/client';
import type { Inspection } from '@vfiolab/scenario';

export async function inspectActor(link: Link, address: Address): Promise<Inspection> {
  const { lines, broken, figures, busy } = await link.call(address, bootApi.inspect, undefined);
  return { lines, broken, busy, figures: Object.fromEntries(figures.map((f) => [f.name, f.value])) };
}
