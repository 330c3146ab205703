/** `vfiolab serve vfio-user`: arguments, and a device on a socket until the process is asked to end. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VfioUserClient } from '@vfiolab/vfio-user';
import { engine } from '../engine.js';
import { main } from '../main.js';
import { fakeEngine } from '../testing/fake-engine.js';
import { FakeTerminal } from '../testing/fake-terminal.js';

const MACHINE = ['--machine', 'lambda-vector-wrx80-a'];
const GPU = ['--device', '0000:41:00.0'];
const SOCKET = ['--socket', '/nowhere/x.sock'];

let dir: string;
beforeAll(() => (dir = mkdtempSync(join(tmpdir(), 'vfiolab-serve-spec-'))));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it.each([
  ['nothing', [], 'is missing'],
  ['a protocol that is not served', ['nvmf', ...MACHINE, ...GPU, ...SOCKET], '"nvmf" is not served'],
  ['no machine', ['vfio-user', ...GPU, ...SOCKET], '--machine is missing'],
  ['no such machine', ['vfio-user', '--machine', 'lambda', ...GPU, ...SOCKET], 'there is no such file or machine'],
  ['no device', ['vfio-user', ...MACHINE, ...SOCKET], '--device is missing'],
  ['no socket', ['vfio-user', ...MACHINE, ...GPU], '--socket is missing'],
  [
    'a device without a socket',
    ['vfio-user', ...MACHINE, '--device', '41:00.0,42:00.0', ...SOCKET],
    'each device a socket',
  ],
  ['no number', ['vfio-user', ...MACHINE, ...GPU, ...SOCKET, '--memory', 'much'], '--memory'],
])('refuses %s before it begins', async (_words, args, said) => {
  const terminal = new FakeTerminal();
  expect(await main(['serve', ...args], terminal, fakeEngine())).toBe(2);
  expect(terminal.written.err).toContain(said);
});

it('refuses a function that is not there, and leaves no lab', async () => {
  const terminal = new FakeTerminal();
  const args = ['serve', 'vfio-user', ...MACHINE, '--device', '0000:99:00.0', '--socket', join(dir, 'none.sock')];
  expect(await main(args, terminal, engine)).toBe(2);
  expect(terminal.written.err).toContain('cannot pass it through (ENOENT)');
});

it('serves the device until the process is asked to end', async () => {
  const terminal = new FakeTerminal();
  const path = join(dir, 'gpu.sock');
  const running = main(
    ['serve', 'vfio-user', ...MACHINE, '--device', '41:00.0', '--socket', path, '--json'],
    terminal,
    engine,
  );
  while (terminal.written.out === '') await new Promise((r) => setTimeout(r, 10));
  expect(JSON.parse(terminal.written.out)).toMatchObject({
    serving: 'vfio-user',
    device: '0000:41:00.0',
    socket: path,
  });
  const client = await VfioUserClient.open(path);
  expect((await client.read(7, 0, 4)).payload).toEqual(Uint8Array.of(0xde, 0x10, 0x30, 0x22));
  process.emit('SIGTERM');
  expect(await running).toBe(0);
  await client.closed;
  expect(terminal.written.err).toBe('');
});

it('serves several devices of one host', async () => {
  const terminal = new FakeTerminal();
  const paths = ['a', 'b'].map((name) => join(dir, `${name}.sock`));
  const args = ['--machine', 'network-lab', '--device', '01:00.0,02:00.0', '--socket', paths.join(',')];
  const running = main(['serve', 'vfio-user', ...args], terminal, engine);
  while (!terminal.written.out.includes(paths[1]!)) await new Promise((r) => setTimeout(r, 10));
  const clients = await Promise.all(paths.map((path) => VfioUserClient.open(path)));
  for (const client of clients)
    expect((await client.read(7, 0, 4)).payload).toEqual(Uint8Array.of(0x86, 0x80, 0xd3, 0x10));
  process.emit('SIGTERM');
  expect([await running, terminal.written.err]).toEqual([0, '']);
});
