/** How far a run is, and what it is of, in a line. */
import { gpuCapacity, type RunInput } from '@vfiolab/cluster';

const BAR = 24;

/** `fgd [#####-------] 41 %  4,455 of 10,866 pods, 31,000/s, 0.2 s left`. */
export function progressLine(what: string, done: number, all: number, seconds: number, of = 'pods'): string {
  const share = all === 0 ? 1 : done / all;
  const bar = '#'.repeat(Math.round(share * BAR)).padEnd(BAR, '-');
  const rate = seconds > 0 ? done / seconds : 0;
  const left = rate > 0 ? `, ${((all - done) / rate).toFixed(1)} s left` : '';
  return `${what} [${bar}] ${(100 * share).toFixed(0)} %  ${count(done)} of ${count(all)} ${of}, ${count(Math.round(rate))}/s${left}`;
}

export const count = (value: number): string => String(value).replace(/\B(?=(\d{3})+$)/g, ',');

export const load = ({ hosts, arrivals }: RunInput): string =>
  `${count(hosts.names.length)} hosts with ${count(gpuCapacity(hosts) / 1000)} GPUs, ${count(arrivals.pods.length)} pods`;
