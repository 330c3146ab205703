/** Asking a running actor about itself. */
import { type Address, bootApi } from '@vfiolab/core';
import type { Link } from '@vfiolab/client';
import type { Environment } from '@vfiolab/scenario';

export async function inspectActor(link: Link, address: Address): ReturnType<Environment['inspect']> {
  const { lines, broken, figures } = await link.call(address, bootApi.inspect, undefined);
  return { lines, broken, figures: Object.fromEntries(figures.map((f) => [f.name, f.value])) };
}
