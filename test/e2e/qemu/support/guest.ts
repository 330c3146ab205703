/**
 * A guest in QEMU with a device of a lab, and what it says.
 *
 * Words: a *QEMU folder* has `qemu-system-x86_64` (10.1 or newer, with vfio-user-pci) and `guest/` with a kernel and its
 * modules, as Debian packages unpack; `npm run test:qemu` fetches one, VFIOLAB_QEMU names another, and without either the
 * machine's own are taken. VFIOLAB_QEMU_ACCEL: another accelerator than tcg, which works everywhere.
 * Rule: what is missing for a guest is said in one sentence, which skips the tests.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpio, withLibraries } from './initramfs.js';
import { qemuFolder } from './qemu-folder.mjs';

const SOURCES = ['init.c', 'network.c'].map((name) => fileURLToPath(new URL(`../${name}`, import.meta.url)));
const LSPCI = '/usr/bin/lspci';
const folder = existsSync(qemuFolder()) ? qemuFolder() : '';
const qemu = folder === '' ? 'qemu-system-x86_64' : join(folder, 'qemu-system-x86_64');
/** Where the guest's kernel and modules are. */
const kernelRoot = folder === '' ? '/' : join(folder, 'guest');

const has = (program: string): boolean => spawnSync('which', [program], { stdio: 'ignore' }).status === 0;

/** Has this QEMU the device that is a vfio-user client? */
const speaks = (): boolean =>
  spawnSync(qemu, ['-device', 'help'], { encoding: 'utf8' }).stdout?.includes('vfio-user-pci') === true;

function kernelName(root: string): string | undefined {
  const boot = join(root, 'boot');
  return existsSync(boot) ? readdirSync(boot).find((name) => name.startsWith('vmlinuz-')) : undefined;
}

/** Why there can be no guest; empty when there can. */
export function whatIsMissing(): string {
  if (!has(qemu)) return `there is no ${qemu}: npm run test:qemu fetches one`;
  if (!speaks()) return 'this QEMU has no vfio-user-pci: 10.1 is the first with it';
  if (kernelName(kernelRoot) === undefined) return `there is no guest kernel in ${join(kernelRoot, 'boot')}`;
  if (!has('cc')) return "there is no C compiler for the guest's program";
  if (!existsSync(LSPCI)) return `there is no ${LSPCI} for the guest`;
  return '';
}

/** Debian's newer packages unpack below usr. */
const moduleRoot = (): string =>
  ['lib/modules', 'usr/lib/modules'].map((folder) => join(kernelRoot, folder)).find((folder) => existsSync(folder)) ??
  '';

/** One file below the folder whose name ends like this. */
function find(under: string, end: string): string {
  const all = under === '' ? [] : readdirSync(under, { recursive: true, encoding: 'utf8' });
  const found = all.find((name) => name.endsWith(end));
  if (found === undefined) throw new Error(`${under} has no ${end}`);
  return join(under, found);
}

export interface Booted {
  /** All that the guest and QEMU said. */
  readonly text: string;
  readonly lspci: string;
  /** Of lines `name: value`, in their order. */
  values(name: string): string[];
}

export interface BootOptions {
  /** Of the guest's kernel, by file name without `.ko.xz`, and parameters behind it. */
  readonly modules?: readonly string[];
  /** The guest has an IOMMU of its own, and maps for each transfer what it needs. */
  readonly viommu?: boolean;
  /** It writes and reads its disk so many times, and says `work: N same` after each. */
  readonly rounds?: number;
  /** Hears each line as it comes; `signal` is for the whole of QEMU. */
  readonly hear?: (line: string, signal: (name: NodeJS.Signals) => void) => void;
}

/** `ids`: vendor and device, as `1234:11e8`. Resolves when the guest has turned itself off, or has been ended. */
export async function boot(socket: string, ids: string, options: BootOptions = {}): Promise<Booted> {
  const { modules = ['uio', 'uio_pci_generic'], viommu = false, rounds = 0, hear = () => undefined } = options;
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-guest-'));
  try {
    const init = join(dir, 'init');
    execFileSync('cc', ['-static', '-O2', '-o', init, ...SOURCES]);
    const items = [
      { path: 'init', bytes: readFileSync(init) },
      { path: 'wanted', bytes: Buffer.from(ids) },
      { path: 'rounds', bytes: Buffer.from(`${rounds}`) },
      ...withLibraries(LSPCI),
      { path: 'modules/order', bytes: Buffer.from(modules.map(loadLine).join('')) },
      ...modules.map(fileOf).map((name) => ({
        path: `modules/${name}.ko.xz`,
        bytes: readFileSync(find(moduleRoot(), `/${name}.ko.xz`)),
      })),
    ];
    const initrd = join(dir, 'initrd');
    writeFileSync(initrd, cpio(items));
    const args = [...machineArguments(viommu), ...deviceArguments(socket), ...kernelArguments(initrd, viommu)];
    return read(await run(qemu, args, hear));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const fileOf = (module: string): string => module.split(' ', 1)[0]!;
const loadLine = (module: string): string => `/modules/${module.replace(/^\S+/, '$&.ko.xz')}\n`;

const words = (text: string): string[] => text.split(' ');

const machineArguments = (viommu: boolean): string[] => [
  ...words('-cpu max -nodefaults -display none -no-reboot -serial stdio -m 512M -smp 1'),
  ...words('-object memory-backend-memfd,id=ram,size=512M,share=on -machine'),
  `q35,memory-backend=ram,accel=${process.env['VFIOLAB_QEMU_ACCEL'] ?? 'tcg'}`,
  ...(viommu ? words('-device intel-iommu,caching-mode=on') : []),
];

/** On the root bus itself QEMU would hide that the function is PCI Express. */
const deviceArguments = (path: string): string[] => [
  ...words('-device pcie-root-port,id=rp0 -device'),
  JSON.stringify({ driver: 'vfio-user-pci', bus: 'rp0', socket: { path, type: 'unix' } }),
];

const kernelArguments = (initrd: string, viommu: boolean): string[] => [
  ...['-kernel', join(kernelRoot, 'boot', kernelName(kernelRoot)!), '-initrd', initrd, '-append'],
  // An emulated timer on a busy machine is late, and the kernel would not go on without it.
  `console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init${viommu ? ' intel_iommu=on iommu.strict=1' : ''}`,
];

function run(command: string, args: readonly string[], hear: NonNullable<BootOptions['hear']>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    // Its own process group: QEMU is behind a wrapper.
    const signal = (name: NodeJS.Signals): void => void process.kill(-child.pid!, name);
    let [text, heard] = ['', 0];
    const take = (data: Buffer): void => {
      text += data.toString('latin1');
      for (let end = text.indexOf('\n', heard); end >= 0; end = text.indexOf('\n', heard)) {
        hear(text.slice(heard, end).trim(), signal);
        heard = end + 1;
      }
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.on('error', reject);
    const late = setTimeout(() => signal('SIGKILL'), 150_000);
    child.on('close', () => {
      clearTimeout(late);
      resolve(text);
    });
  });
}

function read(text: string): Booted {
  const lines = text.replaceAll('\r', '').split('\n');
  const [from, to] = ['lspci: begin', 'lspci: end'].map((mark) => lines.indexOf(mark));
  return {
    text,
    lspci: from! < 0 ? '' : lines.slice(from! + 1, to).join('\n'),
    values: (name) => lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2)),
  };
}
