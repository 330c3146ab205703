/** What both sides of the NATS benchmarks agree on. */
import type { Scope } from './nats-subjects.js';

export type ResponderKind = 'raw' | 'stock' | 'actor';
export const BENCH_SCOPE: Scope = { tenant: 'bench', lab: 'bench', host: 'bench' };
export const RAW_SUBJECT = 'bench.raw';
export const STOCK_PATTERN = 'bench.stock';
