/**
 * What a guest waits for when it touches a device of a lab.
 *
 * Words: the *answerer* is a server in C that only answers, with nothing behind it: what the socket and two processes cost.
 */
import { native, Pinger } from '@vfiolab/vfio-user';
import { type Figure, figure } from './bench.js';
import { withServers } from './served.js';

const MACHINE = 'lambda-vector-wrx80-a';
const GPU = '0000:41:00.0';
const [BAR0, CONFIG] = [0, 7];
const ROUNDS = 20_000;
/** Rounds of one before the next has its turn. */
const BLOCK = 500;
const MIB = 1 << 20;

/**
 * Medians in microseconds of so many rounds each. Blocks of the one and the other take turns, so that what else the machine
 * does meets all of them.
 */
function medians(rounds: number, ...works: readonly (() => void)[]): number[] {
  const times = works.map(() => new Float64Array(rounds));
  for (const work of works) for (let i = 0; i < rounds / 10; i++) work();
  for (let from = 0; from < rounds; from += BLOCK)
    works.forEach((work, w) => {
      for (let i = from; i < Math.min(from + BLOCK, rounds); i++) {
        const began = performance.now();
        work();
        times[w]![i] = performance.now() - began;
      }
    });
  return times.map((each) => each.sort()[rounds >> 1]! * 1000);
}

/** DMA_MAP of memory with a descriptor, and DMA_UNMAP. */
function mapping(pinger: Pinger, memfd: number, bytes: number): () => void {
  const [map, unmap] = Pinger.mapping(0x100000n, bytes);
  const fds = Int32Array.of(memfd);
  return () => {
    pinger.call(map, fds);
    pinger.call(unmap);
  };
}

export function vfioUser(): Promise<Figure[]> {
  return withServers(MACHINE, GPU, (plain, lab) => {
    const base = new Pinger(plain, { speaks: false });
    const served = new Pinger(lab);
    const read = Pinger.read(BAR0, 4, 4);
    const configRead = Pinger.read(CONFIG, 0, 256);
    const [alone, ours, config] = medians(
      ROUNDS,
      () => base.call(read),
      () => served.call(read),
      () => served.call(configRead),
    ) as [number, number, number];
    const memfd = native().memfd(64 * MIB);
    const [page, many] = medians(500, mapping(served, memfd, 4096), mapping(served, memfd, 64 * MIB)) as [
      number,
      number,
    ];
    native().close(memfd);
    base.close();
    served.close();
    return [
      figure('p50, 4 bytes of a BAR', ours, 'us', 'a server in C that only answers', alone),
      figure('p50, 256 bytes of config space', config, 'us', 'a server in C that only answers', alone),
      figure('p50, DMA_MAP with descriptor + DMA_UNMAP, 4 KiB', page, 'us', 'the read of a BAR', ours),
      figure('p50, the same, 64 MiB', many, 'us', '4 KiB', page),
    ];
  });
}
