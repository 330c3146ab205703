/** Request and reply over NATS: raw, as Nest has it, and ours; all in one run. */
import { benchNats, type Measured, NATS_VARIANTS, type NatsVariant } from '@vfiolab/shell';
import { type Figure, figure } from './bench.js';

const ALONE = { inFlight: 1, requests: 3000 };
const MANY = { inFlight: 64, requests: 60_000 };
/** The machine's speed drifts: every variant is measured in each round, and the median round is told. */
const ROUNDS = 3;

async function medians(load: typeof ALONE, of: (m: Measured) => number): Promise<Record<NatsVariant, number>> {
  const seen = Object.fromEntries(NATS_VARIANTS.map((v) => [v, [] as number[]])) as Record<NatsVariant, number[]>;
  for (let round = 0; round < ROUNDS; round++)
    for (const v of NATS_VARIANTS) seen[v].push(of(await benchNats(v, load)));
  return Object.fromEntries(NATS_VARIANTS.map((v) => [v, median(seen[v])])) as Record<NatsVariant, number>;
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;

export async function transport(): Promise<Figure[]> {
  const p50 = await medians(ALONE, (m) => m.p50us);
  const rate = await medians(MANY, (m) => m.rate);
  const raw = 'raw own inbox';
  const stock = 'stock Nest, JSON';
  return [
    ...NATS_VARIANTS.filter((v) => v !== raw).map((v) => figure(`p50, ${v}, 1 in flight`, p50[v], 'us', raw, p50[raw])),
    ...NATS_VARIANTS.filter((v) => v !== stock).map((v) =>
      figure(`rate, ${v}, 64 in flight`, rate[v], '1/s', stock, rate[stock]),
    ),
  ];
}
