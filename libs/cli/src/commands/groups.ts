/** `vfiolab groups`: the IOMMU groups that Linux would make on a machine. */
import { computeGroups, importTopology, type PciFunction, type Topology, TopologyError } from '@vfiolab/pci';
import { findMachine, machineNames, readMachine, suggestion } from '@vfiolab/scenario';
import { type Command, type Context, OK, UsageError } from '../command.js';

function load(name: string): Topology {
  const file = findMachine(name, '.');
  if (file === undefined)
    throw new UsageError(`${name}: there is no such file or machine. ${suggestion(name, machineNames())}`);
  let text: string;
  try {
    text = readMachine(file);
  } catch (error) {
    throw new UsageError(
      `${file}: cannot be read (${(error as Error).message}). Give a file, or the name of a machine.`,
    );
  }
  try {
    return importTopology(text);
  } catch (error) {
    if (error instanceof TopologyError) throw new UsageError(`${file}: ${error.message}`);
    throw error;
  }
}

const hex = (value: number | null, digits: number): string =>
  value === null ? '?'.repeat(digits) : value.toString(16).padStart(digits, '0');

const row = (group: string, f: PciFunction): string =>
  [
    group.padStart(5),
    f.bdf.padEnd(12),
    hex(f.classCode === null ? null : f.classCode >> 8, 4).padEnd(5),
    `${hex(f.vendor, 4)}:${hex(f.device, 4)}`,
    f.driver ?? '-',
  ].join('  ');

function print({ terminal, json }: Context, topology: Topology): void {
  const groups = computeGroups(topology);
  if (json) return terminal.json({ groups: groups.map(({ devices }) => devices) });
  terminal.out(terminal.style('bold', 'group  function      class  id         driver'));
  for (const { id, devices } of groups)
    devices.forEach((bdf, i) => terminal.out(row(i === 0 ? String(id) : '', topology.get(bdf)!)));
  const grouped = new Set(groups.flatMap(({ devices }) => devices));
  for (const f of topology.functions) if (!grouped.has(f.bdf)) terminal.out(row('-', f));
  terminal.out(
    `\n${topology.functions.length} functions, ${groups.length} groups. Functions under - are not behind the IOMMU.`,
  );
  for (const warning of topology.warnings) terminal.error(`note: ${warning}`);
}

export const groups: Command = {
  name: 'groups',
  summary: 'show the IOMMU groups of a machine',
  positionals: ['FILE'],
  options: {},
  details: `
FILE is the output of \`lspci -Dnnvvvxxxx\` (best taken as root), a fixture in JSON, or the name of a machine of the
catalogue (test/machines). Functions of one group can only be passed through together.

  lspci -Dnnvvvxxxx > my-machine.lspci && vfiolab groups my-machine.lspci
  vfiolab groups lambda-vector-wrx80-a --json      {"groups": [["0000:00:01.0"], ...]}`,
  run: (input, context) => {
    print(context, load(input.positionals[0]!));
    return Promise.resolve(OK);
  },
};
