/**
 * Where a machine's description lies, and what IOMMU it names.
 *
 * Words: the *catalogue* is the folder test/machines of this project; a machine's name is its file's without `.json`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { importTopology, TopologyError } from '@vfiolab/pci';

const CATALOGUE = fileURLToPath(new URL('../../../test/machines/', import.meta.url));

export const machineNames = (): string[] =>
  existsSync(CATALOGUE)
    ? readdirSync(CATALOGUE)
        .filter((name) => name.endsWith('.json'))
        .map((name) => name.slice(0, -'.json'.length))
        .sort()
    : [];

/** The file of a catalogue name, or of a path relative to the folder `from`; undefined when there is none. */
export function findMachine(machine: string, from: string): string | undefined {
  if (/^[\w.-]+$/.test(machine)) {
    const listed = resolve(CATALOGUE, `${machine}.json`);
    if (existsSync(listed)) return listed;
  }
  const path = resolve(from, machine);
  return existsSync(path) ? path : undefined;
}

/** The same, with paths relative to the scenario file. */
export const findMachineFor = (scenarioFile: string, machine: string): string | undefined =>
  findMachine(machine, dirname(resolve(scenarioFile)));

export const readMachine = (file: string): string => readFileSync(file, 'utf8');

/** The kind that the description names; undefined when it names none that a host can have. */
export function iommuOf(text: string): string | undefined {
  try {
    const { iommu } = importTopology(text);
    return iommu === 'unknown' ? undefined : iommu === 'off' ? 'none' : iommu;
  } catch (error) {
    // What is wrong with the description is for the groups service to say, when the host is made.
    if (error instanceof TopologyError) return 'none';
    throw error;
  }
}
