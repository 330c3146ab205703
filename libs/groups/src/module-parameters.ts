/**
 * Parameters of kernel modules, as /sys/module/MODULE/parameters shows them. [kernel/params.c]
 *
 * Words: a *boolean* prints as Y or N, a *number* in decimal.
 * Rule: a parameter acts from the moment its write answers; whoever else goes by it is told before.
 */
import { call, CONTAINER, containerApi, type HostSetup, type Op } from '@vfiolab/core';
import { ok, type Result } from '@vfiolab/uapi';
import { IOMMU_KINDS } from './iommu-kinds.js';
import { hasGroupNodes, moduleNames } from './kernel-build.js';
import { type DirNode, fixedDir, listDir, type Node } from './nodes.js';
import { readBoolean, readNumber } from './parameter-text.js';

interface Parameter {
  readonly module: string;
  readonly name: string;
  readonly type: 'boolean' | 'number';
  /** Absent: for reading only. */
  readonly writable?: true;
  /** Containers go by it. */
  readonly forContainers?: true;
  readonly initial: (setup: HostSetup) => number;
}

const zero = (): number => 0;
const unsafeInterrupts = ({ allowUnsafeInterrupts }: HostSetup): number => (allowUnsafeInterrupts ? 1 : 0);

const NOIOMMU_MODE = 'enable_unsafe_noiommu_mode';
const DISABLE_VGA = 'disable_vga';

const PARAMETERS = [
  {
    module: 'vfio',
    name: NOIOMMU_MODE,
    type: 'boolean',
    writable: true,
    forContainers: true,
    initial: zero,
  },
  { module: 'vfio_pci', name: 'disable_denylist', type: 'boolean', initial: zero },
  { module: 'vfio_pci', name: 'disable_idle_d3', type: 'boolean', initial: zero },
  { module: 'vfio_pci', name: DISABLE_VGA, type: 'boolean', initial: zero },
  { module: 'vfio_pci', name: 'enable_sriov', type: 'boolean', writable: true, initial: zero },
  { module: 'vfio_pci', name: 'nointxmask', type: 'boolean', initial: zero },
  {
    module: 'vfio_iommu_type1',
    name: 'allow_unsafe_interrupts',
    type: 'boolean',
    writable: true,
    forContainers: true,
    initial: unsafeInterrupts,
  },
  {
    module: 'vfio_iommu_type1',
    name: 'dma_entry_limit',
    type: 'number',
    writable: true,
    forContainers: true,
    initial: () => 65535,
  },
  { module: 'iommufd', name: 'allow_unsafe_interrupts', type: 'boolean', writable: true, initial: unsafeInterrupts },
] as const satisfies readonly Parameter[];

type Known = (typeof PARAMETERS)[number];
export type ParameterName = {
  [K in Known['module']]: `${K}.${Extract<Known, { module: K }>['name']}`;
}[Known['module']];

const ALL: readonly Parameter[] = PARAMETERS;

export class ModuleParameters {
  private readonly values: Map<string, number>;

  constructor(private readonly setup: HostSetup) {
    this.values = new Map(this.present.map((each) => [keyOf(each), each.initial(setup)]));
  }

  /**
   * A kernel whose containers are iommufd's has no type1 module (b106), and that of POWER has its own kind instead (p001).
   * Before 7.3 only groups can do without an IOMMU, so one without groups does not ask whether they may. Only PCs know of VGA.
   */
  private get present(): readonly Parameter[] {
    const { profile, vfioContainer, iommu } = this.setup;
    return ALL.filter(({ module, name }) => {
      if (name === NOIOMMU_MODE) return profile === '7.3' || hasGroupNodes(this.setup);
      if (name === DISABLE_VGA) return IOMMU_KINDS.get(iommu)!.processors === 'x86';
      return module !== 'vfio_iommu_type1' || (vfioContainer === 'vfio' && !this.power);
    });
  }

  private get power(): boolean {
    return IOMMU_KINDS.get(this.setup.iommu)!.processors === 'power';
  }

  isOn(name: ParameterName): boolean {
    return (this.values.get(name) ?? 0) !== 0;
  }

  /** /sys/module. */
  tree(): DirNode {
    const modules = [...new Set(this.present.map(({ module }) => module))];
    const others = moduleNames(this.power);
    return listDir(
      () => [...modules, ...others],
      (module) => {
        if (modules.includes(module)) return fixedDir({ parameters: () => this.directory(module) });
        return others.includes(module) ? fixedDir({}) : undefined;
      },
    );
  }

  private directory(module: string): DirNode {
    const own = this.present.filter((each) => each.module === module);
    return listDir(
      () => own.map(({ name }) => name),
      (name) => this.attribute(own.find((each) => each.name === name)),
    );
  }

  private attribute(parameter: Parameter | undefined): Node | undefined {
    if (!parameter) return undefined;
    const show = (): string => {
      const value = this.values.get(keyOf(parameter))!;
      return `${parameter.type === 'number' ? value : value ? 'Y' : 'N'}\n`;
    };
    if (!parameter.writable) return { kind: 'attribute', show };
    return { kind: 'attribute', show, store: (data) => this.write(parameter, data) };
  }

  /** EINVAL: not understood; ERANGE: it does not fit. */
  private *write(parameter: Parameter, data: string): Op<Result<undefined>> {
    const value = parameter.type === 'boolean' ? readBoolean(data) : readNumber(data);
    if (!value.ok) return value;
    if (parameter.forContainers)
      yield* call(CONTAINER, containerApi.parameter, { name: parameter.name, value: value.value });
    this.values.set(keyOf(parameter), value.value);
    return ok(undefined);
  }

  /** In the order of the table. */
  list(): number[] {
    return [...this.values.values()];
  }

  restore(values: readonly number[]): void {
    [...this.values.keys()].forEach((key, i) => this.values.set(key, values[i]!));
  }
}

const keyOf = ({ module, name }: Parameter): string => `${module}.${name}`;
