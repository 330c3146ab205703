// Makes a clean clone ready: checks Node, installs dependencies from the lockfile, builds, and (with --test) sees to nats-server.
// Only what is missing or out of date is done. Everything it prints goes to stderr.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const say = (text) => process.stderr.write(`${text}\n`);

function stop(text) {
  say(text);
  process.exit(1);
}

function run(command, args) {
  const done = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (done.error) stop(`${command}: ${done.error.message}`);
  return done.status === 0;
}

const has = (command) => spawnSync('which', [command], { stdio: 'ignore' }).status === 0;

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    stop(`vfiolab needs Node 20.19 or newer; this is ${process.versions.node}.`);
}

/** `npm ci` when node_modules was not made from this lockfile by this Node. */
function install() {
  const stamp = join(root, 'node_modules', '.vfiolab-stamp');
  const lock = readFileSync(join(root, 'package-lock.json'));
  const wanted = `${createHash('sha256').update(lock).digest('hex')} ${process.version}`;
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  const missing = ['python3', 'make', 'g++'].filter((tool) => !has(tool));
  if (missing.length > 0)
    say(
      `${missing.join(', ')} not found: better-sqlite3 may have to be compiled, and vfio-user has to be. On Debian: apt-get install python3 make g++`,
    );
  say('Installing dependencies (npm ci): about a minute, once ...');
  if (!run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']))
    stop('npm ci failed; the lines above say why.');
  writeFileSync(stamp, wanted);
}

/** The addon of vfio-user: `npm ci` compiles it too; here after a change of its sources. */
function addon() {
  run(process.execPath, [join(root, 'libs/vfio-user/native/build.mjs')]);
}

function build() {
  if (!run(process.execPath, [join(root, 'node_modules/@typescript/native/bin/tsc'), '-b']))
    stop('The build failed; the lines above say why.');
}

/** The tests on NATS need the server's binary. Where it cannot be installed they say so and are counted as failed. */
function natsServer() {
  if (
    ['/usr/sbin/nats-server', '/usr/local/bin/nats-server', '/usr/bin/nats-server'].some(existsSync) ||
    has('nats-server')
  )
    return;
  if (process.getuid?.() === 0 && has('apt-get')) {
    say('Installing nats-server from Debian ...');
    if (run('apt-get', ['install', '-y', '-qq', 'nats-server'])) return;
    if (run('apt-get', ['update', '-qq']) && run('apt-get', ['install', '-y', '-qq', 'nats-server'])) return;
  }
  stop('nats-server is not installed, and the tests on NATS need it. Install it with: apt-get install nats-server');
}

checkNode();
install();
addon();
build();
if (process.argv.includes('--test')) natsServer();
