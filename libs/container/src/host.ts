/**
 * What containers know of the host: kernel release, IOMMU kind, module parameters.
 *
 * Rule: a parameter acts on what happens after it was written; a container that is set up keeps what it was given.
 */
import { type ByteReader, type ByteWriter } from '@vfiolab/core';
import { isKernelProfile, type KernelProfile } from '@vfiolab/uapi';
import { type IommuTraits, traitsOf } from './iommu-kinds.js';
import { flagsOf, type ProfileFlags } from './profile-flags.js';
import { Registrations } from './spapr/registrations.js';

/** Module parameters by name, with the kernel's defaults. Booleans are 0 and 1. */
const DEFAULTS = {
  /** Of type1: mappings of one container. */
  dma_entry_limit: 65535,
  /** Of type1: devices whose MSIs are not isolated may be attached. */
  allow_unsafe_interrupts: 0,
  /** Of vfio: groups without an IOMMU may be used. */
  enable_unsafe_noiommu_mode: 0,
};
export type Parameter = keyof typeof DEFAULTS;

const isParameter = (name: string): name is Parameter => Object.hasOwn(DEFAULTS, name);

export class Host {
  flags: ProfileFlags = flagsOf('6.12');
  iommu: IommuTraits = traitsOf('');
  private kind = '';
  /** log2 of the kernel's page in bytes. */
  pageShift = 12;
  /** Is there a /dev/uiommu? */
  teaching = false;
  /** Memory of the host in frames of 4 KiB. */
  frames = 0;
  /** Memory that processes have registered with containers of DMA windows. */
  readonly registrations = new Registrations();
  /** Processes that have ended while a container was still at work on their memory. */
  readonly ended = new Set<string>();
  /** Groups that the platform gives no windows any more (see pseries.ts). */
  readonly failedGroups = new Set<number>();
  private readonly parameters = { ...DEFAULTS };

  become(profile: KernelProfile, kind: string, pageShift: number, frames: number, teaching: boolean): void {
    this.pageShift = pageShift;
    this.teaching = teaching;
    this.frames = frames;
    this.flags = flagsOf(profile);
    this.kind = kind;
    this.iommu = traitsOf(kind);
  }

  /** Has the IOMMU domains that pages are mapped in? */
  get hasDomains(): boolean {
    return this.kind !== 'none' && this.iommu.tce === undefined;
  }

  get(name: Parameter): number {
    return this.parameters[name];
  }

  /** False: there is no such parameter. */
  set(name: string, value: number): boolean {
    if (!isParameter(name)) return false;
    this.parameters[name] = value;
    return true;
  }

  encode(w: ByteWriter): void {
    w.str(this.flags.profile);
    w.str(this.kind);
    w.u8(this.pageShift);
    w.num(this.frames);
    w.bool(this.teaching);
    w.list([...this.ended], (client) => w.str(client));
    w.list([...this.failedGroups], (group) => w.u32(group));
    w.list(Object.values(this.parameters), (value) => w.num(value));
  }

  decode(r: ByteReader): void {
    const [profile, kind, pageShift, frames, teaching] = [r.str(), r.str(), r.u8(), r.num(), r.bool()];
    for (const client of r.list(() => r.str())) this.ended.add(client);
    for (const group of r.list(() => r.u32())) this.failedGroups.add(group);
    if (isKernelProfile(profile)) this.become(profile, kind, pageShift, frames, teaching);
    const values = r.list(() => r.num());
    (Object.keys(DEFAULTS) as Parameter[]).forEach((name, i) => (this.parameters[name] = values[i]!));
  }
}
