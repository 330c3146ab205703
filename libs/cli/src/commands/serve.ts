/** `vfiolab serve vfio-user`: devices of a machine for VMMs that are not changed. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Process } from '@vfiolab/client';
import { findMachine, iommuOf, machineNames, makeHost, readMachine, suggestion } from '@vfiolab/scenario';
import type { Loans } from '@vfiolab/vfio-user';
import { type Command, type Context, FAILED, type Input, OK, UsageError, wholeNumber } from '../command.js';

const PROTOCOLS = ['vfio-user'];
/** The host's IOMMU where neither the description nor the caller says. */
const DEFAULT_IOMMU = 'intel-vtd';
const DEFAULT_MEMORY_GIB = 64;
const GIB = 2 ** 30;

interface Served {
  readonly bdf: string;
  readonly path: string;
}

interface Plan {
  readonly machine: string;
  readonly text: string;
  readonly iommu: string;
  readonly devices: readonly Served[];
  readonly memory: number;
  readonly profile: string;
}

function needed(input: Input, option: string, example: string): string {
  const text = input.text(option);
  if (text === undefined || text === '') throw new UsageError(`--${option} is missing. Give ${example}.`);
  return text;
}

function devicesOf(input: Input): Served[] {
  const devices = needed(input, 'device', 'the address of a function, such as 0000:41:00.0').split(',');
  const paths = needed(input, 'socket', 'where the UNIX socket shall be').split(',');
  if (devices.length !== paths.length)
    throw new UsageError(`--device names ${devices.length}, --socket ${paths.length}. Give each device a socket.`);
  return devices.map((device, i) => ({
    bdf: /^[\da-f]{2}:/.test(device) ? `0000:${device}` : device,
    path: paths[i]!,
  }));
}

function planOf(input: Input): Plan {
  const protocol = input.positionals[0]!;
  if (!PROTOCOLS.includes(protocol))
    throw new UsageError(`${JSON.stringify(protocol)} is not served. ${suggestion(protocol, PROTOCOLS)}`);
  const machine = needed(input, 'machine', 'a file, or the name of a machine of the catalogue');
  const file = findMachine(machine, '.');
  if (file === undefined)
    throw new UsageError(`${machine}: there is no such file or machine. ${suggestion(machine, machineNames())}`);
  const text = readMachine(file);
  return {
    machine,
    text,
    iommu: input.text('iommu') ?? iommuOf(text) ?? DEFAULT_IOMMU,
    devices: devicesOf(input),
    memory: wholeNumber('memory', input.text('memory') ?? String(DEFAULT_MEMORY_GIB), 4096) * GIB,
    profile: input.text('profile') ?? '7.2',
  };
}

/** Resolves when the process is asked to end. */
const asked = (): Promise<string> =>
  new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve(signal));
  });

async function serve(plan: Plan, { terminal, engine, json }: Context): Promise<number> {
  const { prepareDevice, VfioUserServer } = await import('@vfiolab/vfio-user');
  const end = asked();
  const parent = mkdtempSync(join(tmpdir(), 'vfiolab-serve-'));
  const loans: Loans = new Map();
  const lab = await engine.startEmbedded({
    dir: join(parent, 'run'),
    durability: 'none',
    record: false,
    lent: loans,
  });
  const servers: { close(): Promise<void> }[] = [];
  try {
    const { machine, memory, profile, iommu, text, devices } = plan;
    const { error } = await makeHost(lab.link('operator'), { machine, memory, profile, iommu }, text);
    if (error !== '') throw new UsageError(error);
    const root = new Process('root', lab.link('root'));
    await root.start();
    for (const { bdf } of devices) {
      const ready = await prepareDevice(root, bdf);
      if (!ready.ok)
        throw new UsageError(
          `${bdf}: ${machine} cannot pass it through (${ready.errno}). See vfiolab groups ${machine}.`,
        );
    }
    await root.exit();
    for (const { bdf, path } of devices) servers.push(new VfioUserServer({ lab, loans, bdf, path }));
    for (const { bdf, path } of devices)
      if (json) terminal.json({ serving: 'vfio-user', machine, device: bdf, socket: path, pid: process.pid });
      else
        terminal.out(
          `${bdf} of ${machine} is on ${path}. Give it to QEMU 10.1 or newer, which must share its memory:\n` +
            `  -object memory-backend-memfd,id=ram,size=1G,share=on -machine q35,memory-backend=ram \\\n` +
            `  -device '{"driver":"vfio-user-pci","socket":{"path":"${path}","type":"unix"}}'\nCtrl-C ends it.`,
        );
    await end;
  } finally {
    for (const server of servers) await server.close();
    const { broken } = await lab.end();
    rmSync(parent, { recursive: true, force: true });
    for (const each of broken) terminal.error(`${terminal.style('red', 'Broken invariant:')} ${each}`);
    if (broken.length > 0) process.exitCode = FAILED;
  }
  return process.exitCode === FAILED ? FAILED : OK;
}

export const serveCommand: Command = {
  name: 'serve',
  summary: 'put a device on a UNIX socket for QEMU and other VMMs (vfio-user)',
  positionals: ['vfio-user'],
  options: {
    machine: { value: 'FILE|NAME', about: 'whose device: lspci text, a fixture, or a machine of the catalogue' },
    device: { value: 'BDF[,BDF]', about: 'which function, such as 0000:41:00.0, or several' },
    socket: { value: 'PATH[,PATH]', about: 'the socket of each, made with mode 0600' },
    iommu: { value: 'KIND', about: "the host's IOMMU, when the description does not say (intel-vtd)" },
    memory: { value: 'GIB', about: `the host's memory, which the guest's must fit into (${DEFAULT_MEMORY_GIB})` },
    profile: { value: 'VERSION', about: "the host's kernel (7.2)" },
  },
  details: `
The lab is a host with that machine. Each VMM that connects is a process on it, which opens the device, binds it to an
iommufd of its own and maps the guest's memory: the host's IOMMU isolates it, and what the guest does wrong is a fault.
Guest memory is used in place, so it is in no journal: such a lab is not recorded and lives in this process.

  vfiolab serve vfio-user --machine lambda-vector-wrx80-a --device 41:00.0 --socket /tmp/gpu.sock

Several devices are on one host, so network cards of one network carry frames from guest to guest:

  vfiolab serve vfio-user --machine network-lab --device 01:00.0,02:00.0 --socket /tmp/a.sock,/tmp/b.sock`,
  run: (input, context) => serve(planOf(input), context),
};
