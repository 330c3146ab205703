/** `vfiolab sysfs`: a machine's /sys in a folder, for tools that read one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readScenario, runScenario, type Scenario, ScenarioError } from '@vfiolab/scenario';
import { sysfsDirectory } from '../run-directory.js';
import { type Command, type Input, OK, UsageError } from '../command.js';

/** A scenario that makes the host and no more than looks at it. */
function hostOnly(machine: string): Scenario {
  const text = `vfiolab: scenario/1\ntitle: sysfs\nhost: { machine: ${JSON.stringify(machine)} }\nsteps: [{ listdir: { path: /sys/bus/pci/devices } }]\n`;
  try {
    return readScenario(text, 'sysfs');
  } catch (error) {
    if (error instanceof ScenarioError) throw new UsageError(`--machine: ${error.message}`);
    throw error;
  }
}

function wanted(input: Input, option: string, what: string): string {
  const text = input.text(option);
  if (text === undefined) throw new UsageError(`--${option} is missing: ${what}.`);
  return text;
}

export const sysfs: Command = {
  name: 'sysfs',
  summary: 'write the /sys of a machine to a folder',
  positionals: [],
  options: {
    machine: { value: 'FILE|NAME', about: 'lspci -Dnnvvvxxxx text, a fixture, or a machine of the catalogue' },
    out: { value: 'DIR', about: 'folder for the tree; an earlier export in it is replaced' },
  },
  details: `
The machine's PCI functions as a kernel shows them after boot: config space, drivers, IOMMU groups, NUMA nodes. DIR can be
given to tools as a root and as a /sys. To follow a scenario while it runs: vfiolab run SCENARIO --sysfs DIR.

  vfiolab sysfs --machine lambda-vector-wrx80-a --out tree
  lspci -O sysfs.path=tree/bus/pci -tvnn
  HWLOC_FSROOT=tree HWLOC_THISSYSTEM=0 lstopo --whole-io -`,
  run: async (input, { terminal, engine, json }) => {
    const scenario = hostOnly(wanted(input, 'machine', 'the description of a machine, or its name'));
    const out = await sysfsDirectory(engine, '--out', wanted(input, 'out', 'the folder to write to'));
    const dir = mkdtempSync(join(tmpdir(), 'vfiolab-sysfs-'));
    const environment = await engine.startEmbedded({ dir, durability: 'none' });
    try {
      const { failure } = await runScenario(scenario, environment);
      if (failure) throw new UsageError(failure.message);
      const { entries } = await (await engine.exportSysfs(environment, out)).update();
      if (json) terminal.json({ out, entries });
      else
        terminal.out(
          `${entries} files, links and folders in ${out}. Look at it: lspci -O sysfs.path=${out}/bus/pci -tvnn`,
        );
      return OK;
    } finally {
      await environment.end();
      rmSync(dir, { recursive: true, force: true });
    }
  },
};
