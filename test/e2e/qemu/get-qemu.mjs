// Fetches what the tests with real guests need, when it is not there: a QEMU with vfio-user-pci (10.1 or newer) and a guest
// kernel, as Debian packages that are unpacked into a folder and not installed. Nothing else of the machine changes.
//   node get-qemu.mjs [FOLDER]      default: the folder that the tests look into by themselves
//
// Rule: what is missing is said in one sentence, and the exit code is 1.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { qemuFolder } from './support/qemu-folder.mjs';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** In this order: the first one whose QEMU is new enough. The guest's kernel is that of the last stable release. */
const SUITES = ['stable', 'testing', 'sid'];
const [PACKAGE, KERNEL] = ['qemu-system-x86', 'linux-image-amd64'];

function stop(why) {
  throw new Error(`The tests with real guests have no QEMU: ${why}`);
}

const run = (command, args, options = {}) => spawnSync(command, args, { encoding: 'utf8', ...options });
const has = (command) => run('sh', ['-c', `command -v ${command}`]).status === 0;
const isGood = (folder) =>
  run(join(folder, 'qemu-system-x86_64'), ['-device', 'help']).stdout?.includes('vfio-user-pci') === true;

/** Where this machine gets its packages from. */
function mirror() {
  const folder = '/etc/apt/sources.list.d';
  const files = [
    '/etc/apt/sources.list',
    ...(existsSync(folder) ? readdirSync(folder).map((f) => join(folder, f)) : []),
  ];
  const text = files.filter((file) => existsSync(file)).map((file) => readFileSync(file, 'utf8'));
  const found = /https?:\/\/\S+\/debian(?=\/?\s)/.exec(text.join('\n'))?.[0];
  return found ?? stop("apt's sources name no mirror of Debian.");
}

/** apt with lists, caches and installed packages of its own: none is installed, so it names every library. */
class Apt {
  constructor(home, suite) {
    this.home = join(home, suite);
    for (const each of ['lists/partial', 'cache/archives/partial'])
      mkdirSync(join(this.home, each), { recursive: true });
    const [list, status] = [join(this.home, 'sources.list'), join(this.home, 'status')];
    writeFileSync(list, `deb [signed-by=${KEYRING}] ${mirror()} ${suite} main\n`);
    writeFileSync(status, '');
    const settings = {
      'APT::Architecture': 'amd64',
      'APT::Sandbox::User': '',
      'Dir::Etc::sourcelist': list,
      'Dir::Etc::sourceparts': '/dev/null',
      'Dir::Etc::preferencesparts': '/dev/null',
      'Dir::State': this.home,
      'Dir::State::lists': join(this.home, 'lists'),
      'Dir::State::status': status,
      'Dir::Cache': join(this.home, 'cache'),
    };
    this.options = ['-qq', ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])];
    this.reached = this.get('update').status === 0;
  }

  get(...args) {
    return run('apt-get', [...this.options, ...args], { cwd: this.home });
  }

  ask(...args) {
    return run('apt-cache', [...this.options, ...args]).stdout ?? '';
  }

  /** [major, minor]; [0, 0]: there is none. */
  version(name) {
    const found = /^Version: (?:\d+:)?(\d+)\.(\d+)/m.exec(this.ask('show', '--no-all-versions', name));
    return found ? [Number(found[1]), Number(found[2])] : [0, 0];
  }

  unpackFetched(into) {
    const folder = join(this.home, 'cache/archives');
    for (const file of readdirSync(folder).filter((f) => f.endsWith('.deb'))) unpack(join(folder, file), into);
  }
}

function unpack(file, into) {
  if (run('dpkg-deb', ['-x', file, into]).status !== 0) stop(`${file} cannot be unpacked`);
}

/** Runs with the loader, libraries, modules and firmware that came along. */
const WRAPPER = `#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
lib=$root/usr/lib/x86_64-linux-gnu
export QEMU_MODULE_DIR="$lib/qemu"
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --library-path "$lib" "$root/usr/bin/qemu-system-x86_64" \\
  -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
`;

function fetchQemu(apts, into) {
  const isNew = ([major, minor]) => major > 10 || (major === 10 && minor >= 1);
  const apt = apts.find((each) => isNew(each.version(PACKAGE)));
  if (!apt)
    stop(`no suite of ${SUITES.join(', ')} at ${mirror()} has ${PACKAGE} 10.1 or newer, or none can be reached`);
  const got = apt.get('install', '-y', '--no-install-recommends', '--download-only', PACKAGE);
  if (got.status !== 0) stop(`${PACKAGE} cannot be fetched: ${got.stderr.trim().split('\n').at(-1)}`);
  apt.unpackFetched(join(into, 'root'));
  writeFileSync(join(into, 'qemu-system-x86_64'), WRAPPER);
  chmodSync(join(into, 'qemu-system-x86_64'), 0o755);
}

function fetchKernel([stable], into) {
  const kernel = /Depends: (linux-image-\S+)/.exec(stable.ask('depends', KERNEL))?.[1];
  if (kernel === undefined || stable.get('download', kernel).status !== 0) stop('a guest kernel cannot be fetched');
  const file = readdirSync(stable.home).find((f) => f.endsWith('.deb'));
  unpack(join(stable.home, file), join(into, 'guest'));
}

function fetchInto(folder) {
  if (process.arch !== 'x64') stop(`the packages are for x86-64, and this machine is ${process.arch}`);
  for (const tool of ['apt-get', 'apt-cache', 'dpkg-deb']) if (!has(tool)) stop(`there is no ${tool} to fetch it with`);
  if (!existsSync(KEYRING)) stop(`there is no ${KEYRING} to check the packages with`);
  const making = `${folder}.${process.pid}`;
  try {
    for (const each of ['root', 'guest', 'apt']) mkdirSync(join(making, each), { recursive: true });
    process.stderr.write(`Fetching QEMU and a guest kernel into ${folder} ...\n`);
    const apts = SUITES.map((suite) => new Apt(join(making, 'apt'), suite)).filter(({ reached }) => reached);
    if (apts.length === 0) stop(`${mirror()} cannot be reached`);
    fetchQemu(apts, making);
    fetchKernel(apts, making);
    rmSync(join(making, 'apt'), { recursive: true });
    if (!isGood(making)) stop('what was fetched does not run here');
    renameSync(making, folder);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

const folder = resolve(process.argv[2] ?? qemuFolder());
try {
  if (!existsSync(folder)) fetchInto(folder);
  else if (!isGood(folder)) stop(`${folder} is there, but what is in it does not run. Remove it to fetch it anew.`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
