/**
 * Hosts on which swarms run: booted once, and then begun from their journals by every seed.
 *
 * Words: a *template* is what the journals of a booted host hold, and where its device nodes are.
 * Rule: a template is a function of its place: beginning from it is a restart of all services.
 */
import { type Address, deviceAddress, GROUPS, groupsApi } from '@vfiolab/core';
import { machineNamed } from '@vfiolab/scenario';
import type { KernelProfile, Result } from '@vfiolab/uapi';
import { SyncClient } from '../hunt/sync-client.js';
import type { SimJournal } from '../sim-journal.js';
import { TestHost } from '../test-host.js';

/** A function behind a driver of VFIO's. */
export interface Node {
  readonly bdf: string;
  readonly owner: Address;
  readonly cdev: string;
  readonly group: string;
  /** The only one in its group. */
  readonly alone: boolean;
}

export interface Template {
  readonly place: SwarmPlace;
  readonly nodes: readonly Node[];
  readonly journals: ReadonlyMap<Address, () => SimJournal>;
}

export interface SwarmPlace {
  readonly machine: string;
  readonly profile: KernelProfile;
  /** Another kind of IOMMU than the recorded one. */
  readonly iommu?: string;
}

/** What differs most: the drivers of IOMMUs, whose containers there are, dirty tracking, and no IOMMU with its self-test. */
export const SWARM_PLACES: readonly SwarmPlace[] = [
  { machine: 'B-type1', profile: '6.12' },
  { machine: 'B-compat', profile: '7.2' },
  { machine: 'D-vtdfs-q11', profile: '7.2', iommu: 'intel-vtd-scalable' },
  { machine: 'C-amd', profile: '7.2', iommu: 'amd-vi-hd' },
  { machine: 'C-smmuv3-72', profile: '7.2' },
  { machine: 'A-mock', profile: '7.3' },
];

interface Described {
  readonly bdf: string;
  readonly driver?: string;
}

/** Of the recorded machines a few functions on the root bus are enough: two that share a group, and one that does not. */
const WANTED = [
  '0000:00:00.0',
  '0000:00:03.0',
  '0000:00:04.0',
  '0000:00:04.1',
  '0000:00:1f.0',
  '0000:00:1f.2',
  '0000:00:1f.3',
];
const FRAMES = 1 << 14;

const made = new Map<SwarmPlace, Promise<Template>>();

export function templateOf(place: SwarmPlace): Promise<Template> {
  let template = made.get(place);
  if (!template) made.set(place, (template = boot(place)));
  return template;
}

function must<T>(r: Result<T>): T {
  if (!r.ok) throw new Error(`a swarm's host cannot be looked at: ${r.errno}`);
  return r.value;
}

async function boot(place: SwarmPlace): Promise<Template> {
  const { topology, ...machine } = machineNamed(place.machine);
  const description = JSON.parse(topology) as { functions: Described[] };
  description.functions = description.functions.filter(({ bdf }) => WANTED.includes(bdf));
  const iommu = place.iommu ?? machine.iommu;
  const { profile } = place;
  const t = await TestHost.boot({ ...machine, iommu, frames: FRAMES, machine: JSON.stringify(description), profile });
  const { host } = t;
  const client = new SyncClient(host, 'template');
  const bdfs = description.functions.filter(({ driver }) => driver === 'vfio-pci').map(({ bdf }) => bdf);
  const nodes = bdfs.map((bdf) => nodeOf(client, bdf));
  await t.run(t.pause(100));
  const journals = new Map(
    host.addresses().map((address) => {
      host.actor(address)!.snapshot();
      const journal = host.journal(address);
      return [address, () => journal.copy()] as const;
    }),
  );
  return { place, nodes, journals };
}

function nodeOf(client: SyncClient, bdf: string): Node {
  const directory = `/sys/bus/pci/devices/${bdf}`;
  const list = (path: string): string[] => must(client.call(GROUPS, groupsApi.listdir, { path }));
  const group = must(client.call(GROUPS, groupsApi.readlink, { path: `${directory}/iommu_group` }));
  const [minor] = list(`${directory}/vfio-dev`);
  return {
    bdf,
    owner: deviceAddress(bdf),
    cdev: `/dev/vfio/devices/${minor}`,
    group: `/dev/vfio/${group.split('/').pop()}`,
    alone: list(`${directory}/iommu_group/devices`).length === 1,
  };
}
