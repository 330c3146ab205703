/**
 * The machines on which real kernels were recorded: test/conformance/machines/NAME.json.
 *
 * Words: a machine names its *topology* (a file of the form of test/machines, but with config space by offset), its IOMMU,
 * who serves containers (`type1` or `iommufd`), its memory and its memory map by kernel release, functions beyond those of the topology, and where the
 * topology says otherwise the drivers that functions have when a program starts (null: none) and bytes of their config space. `acs`
 * false: its kernel left access control services off; `probe_order`: in which order drivers met functions; `left_behind`: what earlier
 * programs of the recording had left.
 * Rule: the kernel release is the trace's, not the machine's.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Hugetlb, VfioContainer } from '@vfiolab/core';

export const CONFORMANCE_FOLDER = fileURLToPath(new URL('../../../test/conformance/', import.meta.url));
const FORMAT = 'conformance-machine/1';
const FRAMES_PER_MIB = 256;

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Machine {
  readonly name: string;
  readonly iommu: string;
  readonly vfioContainer: VfioContainer;
  /** Host memory in 4 KiB frames. */
  readonly frames: number;
  /** log2 of the kernel's page in bytes. */
  readonly pageShift: number;
  /** Devices may be opened through iommufd though their interrupts are not isolated. */
  readonly hugetlb: Hugetlb | undefined;
  readonly allowUnsafeInterrupts: number;
  /** The description as the lab reads it. */
  readonly topology: string;
  /** What earlier programs of the recording had left. */
  readonly leftBehind: readonly LeftBehind[];
  /** Config space by BDF, as far as it is known. */
  readonly configs: ReadonlyMap<string, Uint8Array>;
}

export class MachineError extends Error {}

/** A function as the files here describe it: config space only as far as it is not zero, hex by offset. */
interface FunctionFile {
  readonly bdf: string;
  driver?: string;
  readonly config?: ConfigFile;
  readonly acs?: object;
  /** Of a PF: what its VFs are like. */
  readonly vf?: { readonly config: ConfigFile };
}

interface ConfigFile {
  readonly size: number;
  readonly at: Readonly<Record<string, string>>;
}

/** Steps that bring a fresh host to where programs of these names began: `from` on, up to but not `to`. */
export interface LeftBehind {
  readonly reason: string;
  readonly from: string;
  readonly to: string;
  /** As a trace has them. */
  readonly steps: readonly Readonly<Record<string, Json>>[];
}

interface TopologyFile {
  readonly functions: readonly FunctionFile[];
}

interface MachineFile {
  readonly format: string;
  readonly topology: string;
  readonly iommu: string;
  readonly container: string;
  readonly memory_mib: number;
  /** 12 when left out. */
  readonly page_shift?: number;
  /** Why it has no huge pages; left out: it has. */
  readonly hugetlb?: Hugetlb;
  readonly allow_unsafe_interrupts?: boolean;
  readonly left_behind?: readonly LeftBehind[];
  readonly acs?: boolean;
  readonly unknown_to_iommu?: readonly string[];
  readonly probe_order?: readonly string[];
  readonly memory_map?: Readonly<Record<string, readonly string[]>>;
  readonly drivers?: Readonly<Record<string, string | null>>;
  readonly functions?: readonly FunctionFile[];
  /** By BDF, then by offset. */
  readonly config?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const cache = new Map<string, Machine>();

export function machineNamed(name: string, folder = CONFORMANCE_FOLDER): Machine {
  const path = join(folder, 'machines', `${name}.json`);
  const known = cache.get(path);
  if (known) return known;
  if (!/^[\w.-]+$/.test(name) || !existsSync(path))
    throw new MachineError(`machine ${JSON.stringify(name)} is not described: there is no ${path}`);
  const file = JSON.parse(readFileSync(path, 'utf8')) as MachineFile;
  if (file.format !== FORMAT)
    throw new MachineError(`${path}: format: ${JSON.stringify(file.format)} is not ${FORMAT}`);
  const base = JSON.parse(readFileSync(join(folder, 'topologies', `${file.topology}.json`), 'utf8')) as TopologyFile;
  const functions = [...base.functions, ...(file.functions ?? [])]
    .sort((a, b) => (a.bdf < b.bdf ? -1 : 1))
    .map((each) => withConfig(withDriver(each, file.drivers ?? {}), file.config?.[each.bdf]))
    .map((each) => (file.unknown_to_iommu?.includes(each.bdf) ? { ...each, unknown_to_iommu: true } : each))
    .map((each) => (each.acs && file.acs === false ? { ...each, acs: { ...each.acs, ctrl: 0 } } : each));
  const configs = new Map(
    functions.flatMap((each) => (each.config ? [[each.bdf, configOf(each.config)] as const] : [])),
  );
  const described = functions.map((each) => {
    const config = configs.get(each.bdf);
    const own = config ? { ...each, config: hex(config) } : each;
    return each.vf ? { ...own, vf: { ...each.vf, config: hex(configOf(each.vf.config)) } } : own;
  });
  const made: Machine = {
    name,
    iommu: file.iommu,
    vfioContainer: file.container === 'iommufd' ? 'iommufd' : 'vfio',
    frames: file.memory_mib * FRAMES_PER_MIB,
    pageShift: file.page_shift ?? 12,
    hugetlb: file.hugetlb,
    allowUnsafeInterrupts: file.allow_unsafe_interrupts ? 1 : 0,
    topology: JSON.stringify({
      ...base,
      functions: described,
      memory_map: file.memory_map,
      probe_order: file.probe_order,
    }),
    leftBehind: file.left_behind ?? [],
    configs,
  };
  cache.set(path, made);
  return made;
}

function withDriver(each: FunctionFile, drivers: Readonly<Record<string, string | null>>): FunctionFile {
  const driver = drivers[each.bdf];
  if (driver === undefined) return each;
  const { driver: _, ...rest } = each;
  return driver === null ? rest : { ...rest, driver };
}

function withConfig(each: FunctionFile, at: Readonly<Record<string, string>> | undefined): FunctionFile {
  return each.config && at ? { ...each, config: { ...each.config, at: { ...each.config.at, ...at } } } : each;
}

function configOf({ size, at }: ConfigFile): Uint8Array {
  const config = new Uint8Array(size);
  for (const [offset, bytes] of Object.entries(at)) config.set(Buffer.from(bytes, 'hex'), Number(offset));
  return config;
}
