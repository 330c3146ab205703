import { execFile } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { json, MAX_WATCHERS, WatchServer } from './watch-server.js';

const HEALTHY = fileURLToPath(new URL('./healthy.ts', import.meta.url));
const RUN_TS = fileURLToPath(new URL('./testing/run-ts.mjs', import.meta.url));

let status = 200;
let server: WatchServer;
beforeEach(async () => {
  status = 200;
  const pages = {
    '/health': () => json(status, { healthy: status === 200, problems: status === 200 ? [] : ['pages is failed'] }),
    '/broken': () => {
      throw new Error('no page');
    },
  };
  server = await WatchServer.listen({ address: '127.0.0.1', port: 0 }, pages);
});
afterEach(() => server.close());

const url = (path: string): string => `http://127.0.0.1:${server.port}${path}`;

test('it shows its pages, whatever the question after them', async () => {
  const answer = await fetch(url('/health?verbose'));
  expect([answer.status, await answer.json()]).toEqual([200, { healthy: true, problems: [] }]);
});

test.each([
  ['another page', 'GET', '/other', 404, 'there are /health, /broken'],
  ['what every object has', 'GET', '/constructor', 404, 'there are /health, /broken'],
  ['a change', 'POST', '/health', 405, 'only GET is answered here'],
  ['a page that cannot be made', 'GET', '/broken', 500, 'no page'],
])('%s is refused in words', async (_name, method, path, code, error) => {
  const answer = await fetch(url(path), { method });
  expect([answer.status, await answer.json()]).toEqual([code, { error }]);
});

test('it listens at one address', async () => {
  await expect(fetch(`http://127.0.0.2:${server.port}/health`)).rejects.toThrow('fetch failed');
});

test('a port that is taken is said with the name of the variable', async () => {
  await expect(WatchServer.listen({ address: '127.0.0.1', port: server.port }, {})).rejects.toThrow(
    /^VFIOLAB_WATCH: .*EADDRINUSE/,
  );
});

test('connections that say nothing do not become more than a bound', async () => {
  const open = await Promise.all(
    Array.from(
      { length: MAX_WATCHERS },
      () =>
        new Promise<Socket>(
          (resolve) =>
            void connect(server.port, '127.0.0.1', function (this: Socket) {
              resolve(this);
            }),
        ),
    ),
  );
  const refused = connect(server.port, '127.0.0.1');
  await new Promise((resolve) => refused.once('close', resolve));
  for (const socket of open) socket.destroy();
});

/** Exit code and words of the health check's program. */
function check(watch: string | undefined): Promise<[number, string]> {
  const env = { PATH: process.env.PATH, ...(watch !== undefined && { VFIOLAB_WATCH: watch }) };
  return new Promise((resolve) =>
    execFile(process.execPath, ['--import', RUN_TS, HEALTHY], { env }, (error, _stdout, stderr) =>
      resolve([error ? Number(error.code) : 0, stderr.trim()]),
    ),
  );
}

test('the health check ends with what the process says of itself', async () => {
  const at = `127.0.0.1:${server.port}`;
  expect(await check(at)).toEqual([0, '']);
  status = 503;
  expect(await check(at)).toEqual([1, '{"healthy":false,"problems":["pages is failed"]}']);
});

test('the health check fails where nothing listens, and without its variable', async () => {
  expect(await check('127.0.0.1:1')).toEqual([1, expect.stringMatching(/127\.0\.0\.1:1\/health: .*ECONNREFUSED/)]);
  expect(await check(undefined)).toEqual([1, expect.stringMatching(/VFIOLAB_WATCH is not set/)]);
});
