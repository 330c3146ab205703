import { computeGroups, importFixture } from '@vfiolab/pci';
import { evenSlots, newKinds, type Shape } from './shape.js';
import { sameGroups, shapeMachine } from './shape-machine.js';
import { gpuShape } from './testing/clusters.js';

const kinds = newKinds();
const [nic, vf] = [kinds.id('nic'), kinds.id('vf')];

/** Group of each slot, as the kernel makes them on the machine. */
function groupsOf(shape: Shape): unknown[] {
  const { text, bdfs } = shapeMachine(shape, kinds);
  const groups = computeGroups(importFixture(text));
  return bdfs.map((bdf) => groups.findIndex(({ devices }) => devices.includes(bdf)));
}

const even = (
  devices: readonly { kind: number; count: number; units: number }[],
  sizes: { numaNodes?: number; perGroup?: number; perSwitch?: number },
): Shape => ({
  ...gpuShape('even', 0),
  slots: evenSlots(devices, { numaNodes: 1, perGroup: 1, perSwitch: 64, ...sizes }, kinds),
});
const gpus = (count: number) => ({ kind: 0, count, units: 1000 });

describe('the machine of a shape', () => {
  it.each([
    ['one GPU', even([gpus(1)], {})],
    ['8 GPUs in pairs on two nodes', even([gpus(8)], { perGroup: 2, numaNodes: 2 })],
    ['a group larger than a device has functions', even([gpus(16)], { perGroup: 16 })],
    ['groups of 2 behind switches of 4', even([gpus(8)], { perGroup: 2, perSwitch: 4 })],
    ['groups that span switches', even([gpus(8)], { perGroup: 4, perSwitch: 2 })],
    ['64 devices behind one switch', even([gpus(64)], {})],
    [
      'groups of two, and many alone, behind one switch',
      {
        ...gpuShape('mixed', 0),
        slots: even([gpus(64)], {}).slots.map((slot, i) => ({ ...slot, group: i < 60 ? i : 60 + (i >> 1) })),
      },
    ],
    [
      'GPUs, NICs and PFs',
      even([gpus(4), { kind: nic, count: 4, units: 1000 }, { kind: vf, count: 4, units: 64 }], { perGroup: 2 }),
    ],
  ])('%s: the kernel makes the same groups', (_what, shape) => {
    expect(sameGroups(shape, groupsOf(shape))).toBe(true);
    expect(new Set(groupsOf(shape)).has(-1)).toBe(false);
  });

  it('has a bridge at least', () => {
    expect(importFixture(shapeMachine(gpuShape('none', 0), kinds).text).functions).toHaveLength(1);
  });

  it.each([
    ['a group over switches of others', even([gpus(12)], { perGroup: 4, perSwitch: 6 }), 'of other groups'],
    ['PFs of 9 in a group', even([{ kind: vf, count: 9, units: 2 }], { perGroup: 9 }), '9 PFs share a group'],
    [
      'a PF in a group over switches',
      even([{ kind: vf, count: 4, units: 2 }], { perGroup: 4, perSwitch: 2 }),
      'a PF is in',
    ],
    ['too many VFs', even([{ kind: vf, count: 1, units: 10_000 }], {}), 'more than 256 buses'],
    ['a group behind 9 switches', even([gpus(9)], { perGroup: 9, perSwitch: 1 }), 'behind 9 switches'],
  ])('says that there is none with %s', (_what, shape, problem) => {
    expect(() => shapeMachine(shape, kinds)).toThrow(problem);
  });

  it('tells groups that differ', () => {
    const shape = even([gpus(4)], { perGroup: 2 });
    expect(sameGroups(shape, [7, 7, 9, 9])).toBe(true);
    expect(sameGroups(shape, [7, 7, 7, 7])).toBe(false);
    expect(sameGroups(shape, [1, 2, 3, 4])).toBe(false);
  });
});
