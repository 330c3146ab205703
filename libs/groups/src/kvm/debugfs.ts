/**
 * /sys/kernel/debug/kvm: what KVM knows of its VMs and does not tell.
 *
 * Rule: the directories are the lab's own, one for each VM, in the order in which they were made, from 1; the kernel has others
 * there. `noncoherent_dma`: 1 while the guest may use wbinvd; `assigned`: what the VFIO device holds; `devices`: those that
 * keep the VM since they were opened.
 */
import { deviceOf } from '@vfiolab/core';
import { type Host, passables } from '../host.js';
import { type DirNode, fixedDir, listDir, type Node } from '../nodes.js';
import type { Held, Vm } from './vm.js';

export const kvmDebugDir = (host: Host): DirNode =>
  listDir(
    () => [...host.vms.keys()].map(String),
    (name) => {
      const vm = /^[1-9][0-9]{0,9}$/.test(name) ? host.vms.get(Number(name)) : undefined;
      return vm && vmDir(host, vm);
    },
  );

const vmDir = (host: Host, vm: Vm): DirNode =>
  fixedDir({
    assigned: () => lines((vm.vfio?.held ?? []).map(nameOf)),
    devices: () => lines([...passables(host)].flatMap(({ name, vfio }) => (vfio?.vm === vm.id ? [name] : []))),
    noncoherent_dma: () => lines([vm.vfio?.noncoherent ? '1' : '0']),
  });

const nameOf = (held: Held): string =>
  held.kind === 'group' ? `group ${held.group.name}` : `device ${deviceOf(held.owner)}`;

const lines = (all: readonly string[]): Node => ({
  kind: 'attribute',
  show: () => all.map((line) => `${line}\n`).join(''),
  rootOnly: true,
});
