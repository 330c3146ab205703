/** Servers for the benchmarks of vfio-user: each a process of its own, as the client is. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ANSWERER } from '@vfiolab/vfio-user';

const VFIOLAB = fileURLToPath(new URL('../../bin/vfiolab.js', import.meta.url));

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

/** The sockets of the answerer, and of a function of a machine that `vfiolab serve` has; both are gone afterwards. */
export async function withServers<T>(
  machine: string,
  bdf: string,
  work: (plain: string, lab: string) => Promise<T> | T,
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-bench-'));
  const [plain, lab] = [join(dir, 'plain.sock'), join(dir, 'lab.sock')];
  const children: ChildProcess[] = [];
  try {
    children.push(await started(ANSWERER, [plain]));
    const serve = ['serve', 'vfio-user', '--machine', machine, '--device', bdf, '--socket', lab, '--json'];
    children.push(await started(process.execPath, [VFIOLAB, ...serve]));
    return await work(plain, lab);
  } finally {
    await Promise.all(children.map(stopped));
    rmSync(dir, { recursive: true, force: true });
  }
}
