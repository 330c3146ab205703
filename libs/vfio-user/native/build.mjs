// Compiles the addon that carries file descriptors and maps guest memory, when it is missing or older than its sources.
// A machine without a compiler still gets everything but vfio-user: what is missing is said when it is needed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const home = join(dirname(fileURLToPath(import.meta.url)), '..');
const made = ['vfio_user.node', 'answerer'].map((name) => join(home, 'build', 'Release', name));
const sources = [join(home, 'binding.gyp'), ...readdirSync(join(home, 'native')).map((f) => join(home, 'native', f))];
const newest = Math.max(...sources.map((file) => statSync(file).mtimeMs));
const upToDate = made.every((file) => existsSync(file) && statSync(file).mtimeMs >= newest);

/** npm brings node-gyp along, and puts it on the path of its scripts. */
function nodeGyp() {
  const npm = join(dirname(process.execPath), '..', 'lib', 'node_modules', 'npm');
  const bundled = join(npm, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
  return existsSync(bundled) ? [process.execPath, bundled] : ['node-gyp'];
}

if (!upToDate) {
  const headers = join(dirname(process.execPath), '..');
  const has = existsSync(join(headers, 'include', 'node', 'node_api.h'));
  const [command, ...first] = nodeGyp();
  const args = [...first, 'rebuild', '--release', '--silent', ...(has ? [`--nodedir=${headers}`] : [])];
  const { status, error } = spawnSync(command, args, { cwd: home, stdio: ['ignore', 2, 2] });
  if (status !== 0)
    process.stderr.write(
      `vfio-user: the addon was not compiled${error ? ` (${error.message})` : ''}. Everything else works without it. ` +
        'On Debian: apt-get install python3 make g++, then: node libs/vfio-user/native/build.mjs\n',
    );
}
