import { importTopology, TopologyError, translationCaps } from './index.js';

/** A function whose extended capabilities are these: id, and the register at +4. */
function functionWith(...caps: readonly (readonly [id: number, register: number])[]) {
  const config = new Uint8Array(4096);
  const view = new DataView(config.buffer);
  caps.forEach(([id, register], i) => {
    const next = i + 1 < caps.length ? 0x140 + 0x40 * i : 0;
    view.setUint32(0x100 + 0x40 * i, id | (1 << 16) | (next << 20), true);
    view.setUint32(0x104 + 0x40 * i, register, true);
  });
  const hex = Array.from(config, (b) => b.toString(16).padStart(2, '0')).join('');
  return machine({}, { config: hex }).functions[0]!;
}

const machine = (more: object, facts: object = {}) =>
  importTopology(
    JSON.stringify({
      format: 'pci-topology-fixture/1',
      id: 'x',
      functions: [{ bdf: '0000:00:03.0', ...facts }],
      ...more,
    }),
  );

const NONE = { ats: false, pri: false, pasidBits: 0, pasidCaps: 0 };

test.each([
  ['none', functionWith(), NONE],
  ['others only', functionWith([0x01, 0], [0x03, 0]), NONE],
  ['ATS', functionWith([0x0f, 0]), { ...NONE, ats: true }],
  ['ATS and PRI', functionWith([0x0f, 0], [0x13, 0]), { ...NONE, ats: true, pri: true }],
  [
    'PASIDs of 20 bits that may execute',
    functionWith([0x0f, 0], [0x1b, 0x1402]),
    { ...NONE, ats: true, pasidBits: 20, pasidCaps: 2 },
  ],
  ['PASIDs of no width', functionWith([0x1b, 6]), { ...NONE, pasidCaps: 6 }],
  ['no config space', machine({}).functions[0]!, NONE],
  ['256 bytes of it', machine({}, { config: '00'.repeat(256) }).functions[0]!, NONE],
])('%s', (_what, f, caps) => {
  expect(translationCaps(f)).toEqual(caps);
});

test('a list that runs in a circle ends', () => {
  const f = functionWith([0x01, 0]);
  const config = f.config!;
  new DataView(config.buffer, config.byteOffset).setUint32(0x100, 0x01 | (1 << 16) | (0x100 << 20), true);
  expect(translationCaps(f)).toEqual(NONE);
});

describe('IOMMUs of a machine', () => {
  const unit = (functions: string[], more = {}) => ({ functions, ...more });

  test('a function is behind the first that names it, or the first of all', () => {
    const topology = machine({ iommu_units: [unit(['0000:01']), unit(['0000:00:03']), unit(['0000:00'])] });
    expect(topology.iommuUnitOf(topology.functions[0]!)).toBe(1);
    const others = machine({ iommu_units: [unit(['0000:01']), unit(['0000:02'])] });
    expect(others.iommuUnitOf(others.functions[0]!)).toBe(0);
    expect(machine({}).iommuUnits).toEqual([]);
  });

  test('what is not said is as the kind has it', () => {
    expect(machine({ iommu_units: [unit([]), unit([], { domain_ids: 7, snoop_control: false })] }).iommuUnits).toEqual([
      { functions: [], domainIds: 0, snoopControl: true },
      { functions: [], domainIds: 7, snoopControl: false },
    ]);
  });

  test.each([
    ['no ids at all', [unit([], { domain_ids: 0 })]],
    ['more ids than there can be', [unit([], { domain_ids: 65537 })]],
    ['more than 64', Array.from({ length: 65 }, () => unit([]))],
  ])('%s is refused', (_what, iommu_units) => {
    expect(() => machine({ iommu_units })).toThrow(TopologyError);
  });
});
