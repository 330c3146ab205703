/** Where VFs are, and what they are made of. */
import { LIMITS, type PciFunction, type PciFunctionInit, Topology, vfAddress, virtualFunctions } from './index.js';

const SRIOV = { initialVfs: 8, totalVfs: 300, numVfs: 0, offset: 1, stride: 1, vfDevice: 0x10ca };
const VF_BAR = { index: 3, kind: 'mem', bits: 64, prefetchable: true, size: 16384, vf: true } as const;

const machine = (sriov: Partial<typeof SRIOV>, others: readonly PciFunctionInit[] = []) => {
  const bridge: PciFunctionInit = {
    bdf: '00:01.0',
    headerType: 1,
    classCode: 0x060400,
    buses: { primary: 0, secondary: 1, subordinate: 2 },
  };
  const pf: PciFunctionInit = {
    ...{ bdf: '01:00.0', vendor: 0x8086, device: 0x10c9, classCode: 0x020000, pcieType: 'endpoint', iommuGroup: 7 },
    ...{ sriov: { ...SRIOV, ...sriov }, bars: [{ ...VF_BAR, index: 0, vf: false }, VF_BAR], numaNode: 1 },
    vfTemplate: { config: new Uint8Array(64), driver: 'igbvf' },
  };
  const topology = new Topology({ functions: [bridge, pf, ...others] });
  return { topology, pf: topology.get('0000:01:00.0')! };
};

const bdfs = (sriov: Partial<typeof SRIOV>, count: number, others: readonly PciFunctionInit[] = []) => {
  const { topology, pf } = machine(sriov, others);
  return virtualFunctions(topology, pf, count)?.map(({ bdf }) => bdf);
};

describe('VFs are', () => {
  test.each<[rule: string, sriov: Partial<typeof SRIOV>, count: number, found: string[] | undefined]>([
    ['behind the PF', {}, 2, ['0000:01:00.1', '0000:01:00.2']],
    ['as far apart as the stride', { offset: 128, stride: 2 }, 2, ['0000:01:10.0', '0000:01:10.2']],
    ['on the next bus', { offset: 255 }, 2, ['0000:01:1f.7', '0000:02:00.0']],
    ['nowhere, when the bridge above has no bus for the last one', { offset: 511 }, 2, undefined],
    ['nowhere, when two would be at one address', { stride: 0 }, 2, undefined],
    ['nowhere, when one would be the PF', { offset: 0 }, 1, undefined],
  ])('%s', (_rule, sriov, count, found) => expect(bdfs(sriov, count)).toEqual(found));

  test('nowhere, when an address is taken', () => {
    expect(bdfs({}, 2, [{ bdf: '01:00.2', isVf: true }])).toBeUndefined();
  });

  test('on buses up to 255 when no bridge is above', () => {
    const functions: PciFunctionInit[] = [{ bdf: 'ff:00.0', sriov: { ...SRIOV, offset: 255 } }];
    const topology = new Topology({ functions });
    const pf = topology.get('0000:ff:00.0')!;
    expect([virtualFunctions(topology, pf, 1)?.length, virtualFunctions(topology, pf, 2)]).toEqual([1, undefined]);
    expect(vfAddress(pf, 1)).toMatchObject({ bus: 256, dev: 0, fn: 0 });
  });

  test('no more than a machine may have functions', () => {
    const { pf } = machine({});
    const full = (functions: number) => {
      const topology = { functions: { length: functions }, bridgeAbove: () => null, get: () => undefined };
      return virtualFunctions(topology as unknown as Topology, pf, 2)?.length;
    };
    expect([full(LIMITS.functions - 2), full(LIMITS.functions - 1)]).toEqual([2, undefined]);
  });
});

test('a VF has its PF’s facts, the ids and windows of VFs, and counts as no multifunction device', () => {
  const { topology, pf } = machine({});
  const plugged = topology.plug(virtualFunctions(topology, pf, 1)!);
  const vf = plugged.get('0000:01:00.1') as PciFunction;
  expect(vf).toMatchObject({
    ...{ vendor: 0x8086, device: 0x10ca, classCode: 0x020000, isVf: true, vfOf: pf.bdf, multifunction: false },
    ...{ sriov: null, driver: null, numaNode: 1, iommuGroup: 7, config: new Uint8Array(64) },
  });
  expect(vf.bars).toEqual([{ ...VF_BAR, vf: false }]);
  expect(plugged.bridgeAbove(vf)?.bdf).toBe('0000:00:01.0');
  expect(plugged.unplug(vf.bdf)).toEqual(topology);
});
