/**
 * A machine for a shape that is no real one: PCI functions, switches and isolation (ACS) so that the kernel makes the IOMMU
 * groups that the shape tells.
 *
 * Words: each switch of the shape is a *domain* of its own: root port, upstream port, and downstream ports with what is below
 * them. Devices that share a group are below a switch of their own that does not isolate; PFs, whose VFs are to be in groups
 * of their own, are functions of one device instead. A group that *spans* switches is below root ports that do not isolate.
 * Rule: vendor 1234 has no quirk, so a machine behaves by the book. What no tree of PCI can give is refused in words.
 */
import { formatBdf } from '@vfiolab/pci';
import { InputError } from './input-error.js';
import type { Names, Shape, Slot } from './shape.js';

/** A function of the description, as test/machines/README.md tells its fields. */
export type Described = Readonly<Record<string, unknown>> & { readonly bdf: string };

export interface ShapeMachine {
  /** The description, for the lab. */
  readonly text: string;
  /** Address of each slot. */
  readonly bdfs: readonly string[];
}

const VENDOR = '0x1234';
const ALL_ON = { offset: 256, cap: 0x1f, ctrl: 0x1d };
const ALL_OFF = { ...ALL_ON, ctrl: 0 };
const BUSES = 256;
const DEVICES_OF_A_BUS = 32;
const FUNCTIONS_OF_A_DEVICE = 8;

const CLASSES: Readonly<Record<string, { class: string; driver: string }>> = {
  gpu: { class: '0x030200', driver: 'nvidia' },
  nic: { class: '0x020000', driver: 'mlx5_core' },
  vf: { class: '0x020000', driver: 'mlx5_core' },
  nvme: { class: '0x010802', driver: 'nvme' },
};
const OTHER = { class: '0x120000', driver: 'accelerator' };

const port = (
  bdf: string,
  type: 'root_port' | 'upstream' | 'downstream',
  [from, to]: readonly [number, number],
  isolates: boolean,
  more: object = {},
): Described => ({
  ...{ bdf, vendor: VENDOR, device: '0x0001', class: '0x060400', header_type: 1, pcie_type: type },
  ...{ primary_bus: parseInt(bdf.slice(5, 7), 16), secondary_bus: from, subordinate_bus: to },
  ...(type !== 'upstream' && { acs: isolates ? ALL_ON : ALL_OFF }),
  ...more,
});

/** Throws InputError: no tree of PCI has such groups. */
export function shapeMachine(shape: Shape, kinds: Names): ShapeMachine {
  const tree = new Tree(shape, kinds);
  const functions = [...tree.functions].sort((a, b) => (a.bdf < b.bdf ? -1 : 1));
  // A host without devices to give away still has its bridge.
  if (functions.length === 0)
    functions.push({ bdf: '0000:00:00.0', vendor: VENDOR, device: '0x0001', class: '0x060000', header_type: 0 });
  const text = JSON.stringify({ format: 'pci-topology-fixture/1', id: 'shape', functions });
  return { text, bdfs: shape.slots.map((_, slot) => tree.bdfs.get(slot)!) };
}

/** Slots that share a group behind one switch. */
type Part = readonly (readonly [number, Slot])[];

class Tree {
  readonly functions: Described[] = [];
  readonly bdfs = new Map<number, string>();
  private domain = 0;
  private bus = 0;

  constructor(
    private readonly shape: Shape,
    private readonly kinds: Names,
  ) {
    const switchesOf = new Map<number, Set<number>>();
    for (const slot of shape.slots)
      switchesOf.set(slot.group, (switchesOf.get(slot.group) ?? new Set()).add(slot.switch));
    const spanning = new Map<number, number>();
    for (const [group, switches] of switchesOf) {
      if (switches.size === 1) continue;
      if (switches.size > FUNCTIONS_OF_A_DEVICE) throw this.impossible(`a group is behind ${switches.size} switches`);
      for (const each of switches) spanning.set(each, group);
    }
    const made = new Set<number>();
    for (const { group, switch: id } of shape.slots) {
      if (made.has(id)) continue;
      const together = spanning.has(id) ? [...switchesOf.get(spanning.get(id)!)!] : [id];
      if (spanning.has(id) && group !== spanning.get(id)) throw this.impossible(UNLIKE);
      for (const each of together) made.add(each);
      this.addSwitches(together);
    }
  }

  private impossible(why: string): InputError {
    return new InputError(`no PCI machine can be made of it: ${why}`, { file: this.shape.name });
  }

  /** A domain of its own: a root port for each switch; of several switches they do not isolate. */
  private addSwitches(switches: readonly number[]): void {
    this.bus = 1;
    const apart = switches.length === 1;
    for (const [i, id] of switches.entries()) {
      const first = this.bus;
      const slots = [...this.shape.slots.entries()].filter(([, slot]) => slot.switch === id);
      const groups = new Map<number, [number, Slot][]>();
      for (const each of slots) groups.set(each[1].group, [...(groups.get(each[1].group) ?? []), each]);
      if (!apart && groups.size > 1) throw this.impossible(UNLIKE);
      if (!apart && slots.some(([, slot]) => this.isPf(slot)))
        throw this.impossible('a PF is in a group that spans switches');
      this.addSwitch(apart ? [...groups.values()] : slots.map((each) => [each]), true);
      const functions = apart ? {} : { multifunction: true };
      this.functions.push(
        port(this.at(0, 1, i), 'root_port', [first, this.bus - 1], apart, {
          ...functions,
          numa_node: slots[0]![1].numa,
        }),
      );
    }
    this.domain++;
  }

  /** Upstream port, and a downstream port for each part: one device, or several that share a group. */
  private addSwitch(parts: readonly Part[], isolates: boolean): void {
    const upstream = this.take();
    const inner = this.take();
    // Those that do not isolate come first, so that no two of them are functions of one device.
    const nested = (part: Part): boolean => part.length > 1 && !part.some(([, slot]) => this.isPf(slot));
    for (const [i, part] of [...parts].sort((a, b) => Number(nested(b)) - Number(nested(a))).entries()) {
      const first = this.bus;
      const place = this.at(inner, i % DEVICES_OF_A_BUS, Math.floor(i / DEVICES_OF_A_BUS));
      if (nested(part))
        this.addSwitch(
          part.map((each) => [each]),
          false,
        );
      else this.addDevice(part);
      const many = parts.length > DEVICES_OF_A_BUS ? { multifunction: true } : {};
      this.functions.push(port(place, 'downstream', [first, this.bus - 1], isolates && !nested(part), many));
    }
    this.functions.push(port(this.at(upstream, 0, 0), 'upstream', [inner, this.bus - 1], true));
  }

  private addDevice(part: Part): void {
    if (part.length > FUNCTIONS_OF_A_DEVICE) throw this.impossible(`${part.length} PFs share a group`);
    const bus = this.take();
    let last = bus;
    for (const [i, [slot, facts]] of part.entries()) {
      const bdf = this.at(bus, 0, i);
      this.bdfs.set(slot, bdf);
      const name = this.kinds.names[facts.kind]!;
      const { class: code, driver } = Object.hasOwn(CLASSES, name) ? CLASSES[name]! : OTHER;
      const device = `0x${(0x100 + facts.kind).toString(16)}`;
      const vfs = this.isPf(facts) ? facts.units : 0;
      if (vfs > 0) last = Math.max(last, bus + ((i + FUNCTIONS_OF_A_DEVICE * vfs) >> 8));
      this.functions.push({
        ...{ bdf, vendor: VENDOR, device, class: code, header_type: 0, pcie_type: 'endpoint', driver },
        ...{ numa_node: facts.numa, multifunction: part.length > 1 },
        ...(vfs > 0 && { sriov: sriov(vfs), vf: { driver } }),
      });
    }
    while (this.bus <= last) this.take();
  }

  /** A PF whose VFs are given away. */
  private isPf({ kind, units }: Slot): boolean {
    return this.kinds.names[kind] === 'vf' && units > 0;
  }

  /** The next bus. */
  private take(): number {
    if (this.bus >= BUSES) throw this.impossible(`what is behind one switch needs more than ${BUSES} buses`);
    return this.bus++;
  }

  private at(bus: number, device: number, fn: number): string {
    return formatBdf({ domain: this.domain, bus, dev: device, fn });
  }
}

const UNLIKE = 'a group reaches over switches that have devices of other groups';

/** VFs of the functions of one device alternate. */
const sriov = (vfs: number) => ({
  ...{ initial: vfs, total: vfs, num: 0, vf_device: '0x0200' },
  ...{ offset: FUNCTIONS_OF_A_DEVICE, stride: FUNCTIONS_OF_A_DEVICE },
});

/** Do slots share groups exactly as the shape tells? `groupOf`: that of each slot, as somebody else tells it. */
export function sameGroups({ slots }: Pick<Shape, 'slots'>, groupOf: readonly unknown[]): boolean {
  const theirs = new Map<number, unknown>();
  const ours = new Map<unknown, number>();
  return slots.every(({ group }, slot) => {
    const other = groupOf[slot];
    if (!theirs.has(group)) theirs.set(group, other);
    if (!ours.has(other)) ours.set(other, group);
    return theirs.get(group) === other && ours.get(other) === group;
  });
}
