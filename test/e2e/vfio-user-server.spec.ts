/** `vfiolab serve` as a process that is killed while a driver works, and started again on the same socket. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NvmeDriver, READ, VfioUserClient, WRITE } from '@vfiolab/vfio-user';

const VFIOLAB = fileURLToPath(new URL('../../libs/cli/bin/vfiolab.js', import.meta.url));
const MACHINE = fileURLToPath(new URL('./qemu/nvme.json', import.meta.url));
const PAGE = 4096;

function serve(socket: string): Promise<ChildProcess> {
  const args = ['serve', 'vfio-user', '--machine', MACHINE, '--device', '0000:01:00.0', '--socket', socket, '--json'];
  const child = spawn(process.execPath, [VFIOLAB, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`serve ended with ${code}`)));
    child.stdout.once('data', () => resolve(child));
  });
}

const ended = (child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> =>
  new Promise((resolve) => {
    child.removeAllListeners('exit');
    child.once('exit', (code) => resolve(code));
    child.kill(signal);
  });

it('a server that is killed takes its lab along; the next one has the socket, and a device as after power-on', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-killed-'));
  const socket = join(dir, 'disk.sock');
  const first = await serve(socket);
  const client = await VfioUserClient.open(socket);
  const driver = new NvmeDriver();
  await client.run(driver.start());
  driver.ram.write(driver.dataAt(0), new Uint8Array(PAGE).fill(7));
  await client.run(driver.move(WRITE, 1, 1, () => 3));
  const asked = client.run(driver.move(READ, 1e9, 32, () => 3)).then(
    () => 'ended',
    () => 'failed',
  );
  expect(await ended(first, 'SIGKILL')).toBe(null);
  await client.closed;
  // Posted doorbells go nowhere, so the driver itself must ask to notice.
  expect((await client.read(7, 0, 4)).errno).toBe('ENODEV');

  const second = await serve(socket);
  const again = await VfioUserClient.open(socket);
  const fresh = new NvmeDriver();
  await again.run(fresh.start());
  await again.run(fresh.move(READ, 1, 1, () => 3));
  const page = new Uint8Array(PAGE);
  fresh.ram.readInto(fresh.dataAt(0), page);
  expect(page.every((byte) => byte === 0)).toBe(true);
  again.close();
  expect(await ended(second, 'SIGTERM')).toBe(0);
  driver.free();
  expect(await asked).toBe('failed');
  fresh.free();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);
