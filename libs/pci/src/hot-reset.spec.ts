/** What a reset of a slot or bus hits. */
import { Topology, type PciFunctionInit, resetReach } from './index.js';

const bridge = (bdf: string, secondary: number, more: Partial<PciFunctionInit> = {}): PciFunctionInit => ({
  bdf,
  headerType: 1,
  buses: { primary: null, secondary, subordinate: secondary },
  ...more,
});

/** Config space of a root port: slot implemented, and hot-plug capable when `hotPlug`. */
function port(hotPlug: boolean): Uint8Array {
  const config = new Uint8Array(256);
  config[0x06] = 0x10;
  config[0x0e] = 1;
  config[0x34] = 0x40;
  config.set([0x10, 0, 0x42, 0x01], 0x40);
  config[0x54] = hotPlug ? 0x40 : 0;
  return config;
}

function reach(functions: PciFunctionInit[], bdf: string, served = true): string {
  const topology = new Topology({ functions });
  const found = resetReach(topology, topology.get(`0000:${bdf}`)!, () => served);
  if (!found) return 'none';
  return `${found.slot ? 'slot' : 'bus'}: ${found.functions.map((f) => f.bdf.slice(5)).join(' ')}`;
}

const endpoints = (...bdfs: string[]): PciFunctionInit[] => bdfs.map((bdf) => ({ bdf }));
const vf = (bdf: string, pf: string): PciFunctionInit => ({ bdf, isVf: true, vfOf: `0000:${pf}` });

describe('the reach of a hot reset', () => {
  test.each<[string, PciFunctionInit[], string, string]>([
    ['none on a root bus (trace b061)', endpoints('00:03.0'), '00:03.0', 'none'],
    ['a function alone behind a port', [bridge('00:01.0', 1), ...endpoints('01:00.0')], '01:00.0', 'bus: 01:00.0'],
    [
      'all devices of a conventional bus (trace b062)',
      [bridge('00:01.0', 7), ...endpoints('07:02.0', '07:01.0')],
      '07:02.0',
      'bus: 07:01.0 07:02.0',
    ],
    [
      'what is behind bridges on the bus, after its bridge',
      [bridge('00:01.0', 1), bridge('01:00.0', 2), ...endpoints('02:00.0', '02:01.0', '01:01.0')],
      '01:01.0',
      'bus: 01:00.0 02:00.0 02:01.0 01:01.0',
    ],
    [
      'VFs on the bus too',
      [bridge('00:01.0', 1), ...endpoints('01:00.0'), vf('01:10.0', '01:00.0')],
      '01:00.0',
      'bus: 01:00.0 01:10.0',
    ],
    [
      'none on a virtual bus',
      [
        bridge('00:01.0', 1, { buses: { primary: 0, secondary: 1, subordinate: 2 } }),
        ...endpoints('01:00.0'),
        vf('02:00.0', '01:00.0'),
      ],
      '02:00.0',
      'none',
    ],
  ])('%s', (_title, functions, bdf, answer) => expect(reach(functions, bdf)).toBe(answer));

  const slots = (hotPlug: boolean): PciFunctionInit[] => [
    bridge('00:01.0', 1, { config: port(hotPlug) }),
    ...endpoints('01:00.0', '01:00.1'),
    vf('01:10.0', '01:00.0'),
  ];
  test.each<[string, boolean, boolean, string, string]>([
    ['a hot-plug slot is device 0', true, true, '01:00.1', 'slot: 01:00.0 01:00.1'],
    ['what is beside the slot has the bus', true, true, '01:10.0', 'bus: 01:00.0 01:00.1 01:10.0'],
    ['a port without its driver has no slot', true, false, '01:00.0', 'bus: 01:00.0 01:00.1 01:10.0'],
    ['a port without hot-plug has none', false, true, '01:00.0', 'bus: 01:00.0 01:00.1 01:10.0'],
  ])('%s', (_title, hotPlug, served, bdf, answer) => expect(reach(slots(hotPlug), bdf, served)).toBe(answer));
});

describe('devices that do not come back from a bus reset', () => {
  test.each<[string, Partial<PciFunctionInit>, string]>([
    ['an Atheros card', { vendor: 0x168c, device: 0x003e }, 'none'],
    ['another card of Atheros', { vendor: 0x168c, device: 0x003d }, 'bus: 01:00.0 02:00.0 01:01.0'],
    ['one GPU of a family', { vendor: 0x10de, device: 0x2371 }, 'none'],
    ['a GPU beside the family', { vendor: 0x10de, device: 0x2380 }, 'bus: 01:00.0 02:00.0 01:01.0'],
  ])('%s keeps all others from it, at any depth', (_title, ids, answer) => {
    const functions = [bridge('00:01.0', 1), bridge('01:00.0', 2), { bdf: '02:00.0', ...ids }, { bdf: '01:01.0' }];
    expect(reach(functions, '01:01.0')).toBe(answer);
  });
  test('the bridge itself', () => {
    const root = bridge('00:01.0', 1, { vendor: 0x177d, device: 0xa100 });
    expect(reach([root, { bdf: '01:00.0' }], '01:00.0')).toBe('none');
  });
});
