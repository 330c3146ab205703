/**
 * What a guest waits for when it touches a device of a lab.
 *
 * Words: the *answerer* is a server in C that only answers, with nothing behind it: what the socket and two processes cost.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ANSWERER, native, Pinger } from '@vfiolab/vfio-user';
import { type Figure, figure } from './bench.js';

const VFIOLAB = fileURLToPath(new URL('../../bin/vfiolab.js', import.meta.url));
const MACHINE = 'lambda-vector-wrx80-a';
const GPU = '0000:41:00.0';
const [BAR0, CONFIG] = [0, 7];
const ROUNDS = 20_000;
/** Rounds of one before the next has its turn. */
const BLOCK = 500;
const MIB = 1 << 20;

/** A child that says a line when it serves. */
function started(command: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${command} ended with ${code}`)));
    child.stdout!.once('data', () => resolve(child));
  });
}

/** Resolves when the child has ended. */
const stopped = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    child.removeAllListeners('exit');
    if (child.exitCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });

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

export async function vfioUser(): Promise<Figure[]> {
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-bench-'));
  const [plain, lab] = [join(dir, 'plain.sock'), join(dir, 'lab.sock')];
  const children: ChildProcess[] = [];
  try {
    children.push(await started(ANSWERER, [plain]));
    const serve = ['serve', 'vfio-user', '--machine', MACHINE, '--device', GPU, '--socket', lab, '--json'];
    children.push(await started(process.execPath, [VFIOLAB, ...serve]));
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
  } finally {
    await Promise.all(children.map(stopped));
    rmSync(dir, { recursive: true, force: true });
  }
}
