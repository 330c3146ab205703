/**
 * One container: an open of /dev/vfio/vfio with its groups and, once they have chosen one, their backend. An open of
 * /dev/uiommu is one too: its backend stands from the start.
 *
 * Rule: it lives while its file is open or somebody holds it; it has a backend only while it has groups.
 */
import { type ByteReader, type ByteWriter, Lock, type View } from '@vfiolab/core';
import type { Backend, JoinedGroup } from './backend.js';
import { decodeBackend } from './drivers.js';
import type { Host } from './host.js';

export class Container {
  /** The kernel's group_lock: read by running ioctls, written while groups or the backend change. */
  readonly lock = new Lock();
  /** In the order in which they joined. */
  groups: JoinedGroup[] = [];
  fileOpen = true;
  /** Groups that hold it: those that have joined, are joining or leaving. */
  holds = 0;

  constructor(
    readonly id: number,
    public backend: Backend | undefined = undefined,
  ) {}

  get abandoned(): boolean {
    return !this.fileOpen && this.holds === 0;
  }

  /** May such a group join? Groups with and without an IOMMU do not mix (invariant I19). */
  mixes(noiommu: boolean): boolean {
    return this.groups.some((g) => g.noiommu !== noiommu);
  }

  encode(w: ByteWriter, view: View): void {
    if (view === 'snapshot') w.num(this.id);
    w.bool(this.fileOpen);
    w.u32(this.holds);
    w.list(this.groups, ({ group, members, noiommu, emulated }) => {
      w.u32(group);
      w.list(members, (bdf) => w.str(bdf));
      w.bool(noiommu);
      w.bool(emulated);
    });
    w.str(this.backend?.driver ?? '');
    this.backend?.encode(w, view);
  }

  static decode(r: ByteReader, host: Host): Container {
    const container = new Container(r.num());
    container.fileOpen = r.bool();
    container.holds = r.u32();
    container.groups = r.list(() => ({
      group: r.u32(),
      members: r.list(() => r.str()),
      noiommu: r.bool(),
      emulated: r.bool(),
    }));
    const driver = r.str();
    if (driver !== '') container.backend = decodeBackend(driver, r, host);
    return container;
  }

  check(): string[] {
    const { id, groups, holds, backend } = this;
    const broken = backend ? backend.check(groups) : [];
    if (this.abandoned) broken.push(`I27: container ${id} is still known though nobody holds it`);
    if (holds < groups.length) broken.push(`I15: container ${id} has ${groups.length} groups and ${holds} holders`);
    if (new Set(groups.map((g) => g.group + (g.noiommu ? ' noiommu' : ''))).size !== groups.length)
      broken.push(`I15: a group is in container ${id} twice`);
    if (groups.some((g) => g.noiommu !== groups[0]!.noiommu))
      broken.push(`I19: container ${id} has groups with and without an IOMMU`);
    if (backend && !backend.standing && groups.length === 0)
      broken.push(`I27: container ${id} has a backend and no group`);
    return broken;
  }

  describe(): string[] {
    const names = this.groups.map(({ group, noiommu }) => (noiommu ? `noiommu-${group}` : String(group)));
    const backend = this.backend?.describe() ?? ['no backend'];
    return [`container ${this.id}: groups ${names.join(', ') || 'none'}`, ...backend.map((line) => `  ${line}`)];
  }
}
