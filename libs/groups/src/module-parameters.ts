/**
 * Parameters of kernel modules, as /sys/module/MODULE/parameters shows them. [kernel/params.c]
 *
 * Words: a *boolean* prints as Y or N, a *number* in decimal.
 * Rule: a parameter acts from the moment its write answers; whoever else goes by it is told before.
 */
import { call, CONTAINER, containerApi, type HostSetup, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { type DirNode, fixedDir, listDir, type Node } from './nodes.js';

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

const PARAMETERS = [
  {
    module: 'vfio',
    name: 'enable_unsafe_noiommu_mode',
    type: 'boolean',
    writable: true,
    forContainers: true,
    initial: zero,
  },
  { module: 'vfio_pci', name: 'disable_denylist', type: 'boolean', initial: zero },
  { module: 'vfio_pci', name: 'disable_idle_d3', type: 'boolean', initial: zero },
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
const U32_MAX = 0xffffffff;

export class ModuleParameters {
  private readonly values: Map<string, number>;

  constructor(private readonly setup: HostSetup) {
    this.values = new Map(this.present.map((each) => [keyOf(each), each.initial(setup)]));
  }

  /** A kernel whose containers are iommufd's has no type1 module (b106). */
  private get present(): readonly Parameter[] {
    return ALL.filter(({ module }) => module !== 'vfio_iommu_type1' || this.setup.vfioContainer === 'vfio');
  }

  isOn(name: ParameterName): boolean {
    return (this.values.get(name) ?? 0) !== 0;
  }

  /** /sys/module. */
  tree(): DirNode {
    const modules = [...new Set(this.present.map(({ module }) => module))];
    return listDir(
      () => modules,
      (module) => (modules.includes(module) ? fixedDir({ parameters: () => this.directory(module) }) : undefined),
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

/** The first letter decides: y, t, 1, on; n, f, 0, off. */
function readBoolean(data: string): Result<number> {
  if (/^([yt1]|on)/i.test(data)) return ok(1);
  return /^([nf0]|of)/i.test(data) ? ok(0) : fail('EINVAL');
}

/** Decimal, 0x hexadecimal or 0 octal; a newline may follow. */
function readNumber(data: string): Result<number> {
  const [, hex, octal, decimal] = /^\+?(?:0x([0-9a-f]+)|0([0-7]*)|([1-9][0-9]*))\n?$/i.exec(data) ?? [];
  if (hex === undefined && octal === undefined && decimal === undefined) return fail('EINVAL');
  const value =
    decimal !== undefined ? Number(decimal) : hex !== undefined ? parseInt(hex, 16) : parseInt(`0${octal}`, 8);
  return value > U32_MAX ? fail('ERANGE') : ok(value);
}
