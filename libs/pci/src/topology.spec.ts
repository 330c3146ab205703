/** The bus tree: who hangs below whom, and which descriptions are no tree. */
import { LIMITS, Topology, TopologyError, decodeConfig, formatBdf, parseBdf } from './index.js';
import type { PciFunctionInit } from './index.js';

const bridge = (bdf: string, secondary: number, subordinate = secondary): PciFunctionInit => ({
  bdf,
  headerType: 1,
  classCode: 0x060400,
  buses: { primary: null, secondary, subordinate },
});

describe('addresses', () => {
  const good: [text: string, bdf: string][] = [
    ['00:1f.3', '0000:00:1f.3'],
    ['0000:00:1F.3', '0000:00:1f.3'],
    ['10000:e0:06.0', '10000:e0:06.0'],
  ];
  test.each(good)('%s is %s', (text, bdf) => {
    const address = parseBdf(text);
    expect(address && formatBdf(address)).toBe(bdf);
  });
  test.each(['', '00:20.0', '00:1f.8', '0:00.0', '000:00:00.0', '123456789:00:00.0', '00:00.0 '])(
    '"%s" is none',
    (text) => expect(parseBdf(text)).toBeNull(),
  );
});

describe('the bus tree', () => {
  const topology = new Topology({
    functions: [
      { bdf: '03:00.0', pcieType: 'endpoint' },
      bridge('02:00.0', 3, 4),
      bridge('00:01.0', 2, 4),
      { bdf: '04:00.0', isVf: true, vfOf: '0000:03:00.0' },
      { bdf: '01:00.0', isVf: true, vfOf: '0000:00:03.0' },
      { bdf: '00:03.0' },
      { bdf: '0001:03:00.0' },
      bridge('00:02.0', 0),
    ],
  });
  const at = (bdf: string) => {
    const f = topology.get(bdf);
    if (!f) throw new Error(bdf);
    return f;
  };

  test('functions are sorted by address, whatever the order of the file', () => {
    const bdfs = topology.functions.map((f) => f.bdf);
    expect(bdfs).toEqual([...bdfs].sort());
  });

  test('bridges above are listed nearest first', () => {
    expect(topology.bridgesAbove(at('0000:03:00.0')).map((f) => f.bdf)).toEqual(['0000:02:00.0', '0000:00:01.0']);
    expect(topology.bridgeAbove(at('0000:00:03.0'))).toBeNull();
  });

  test('a bus without a bridge is virtual: it hangs below the bridge with the narrowest range around it', () => {
    expect(topology.bridgeAbove(at('0000:04:00.0'))?.bdf).toBe('0000:02:00.0');
    expect(topology.rootBusOf(at('0000:04:00.0'))).toBe(0);
  });

  test('a bus of VFs without any bridge hangs below the bus of their PF', () => {
    expect(topology.isOnRootBus(at('0000:01:00.0'))).toBe(false);
    expect(topology.rootBusOf(at('0000:01:00.0'))).toBe(0);
  });

  test('bus numbers of another domain are other buses; an unconfigured bridge leads nowhere', () => {
    expect(topology.isOnRootBus(at('0001:03:00.0'))).toBe(true);
    expect(topology.onBus(at('0001:03:00.0')).map((f) => f.bdf)).toEqual(['0001:03:00.0']);
  });
});

test('multifunction: what the header says for function 0, always for later functions, never for VFs', () => {
  const { functions } = new Topology({
    functions: [
      { bdf: '00:01.0', multifunction: true },
      { bdf: '00:02.0', multifunction: false },
      { bdf: '00:02.1', multifunction: false },
      { bdf: '00:02.2', multifunction: true, isVf: true },
    ],
  });
  expect(functions.map((f) => f.multifunction)).toEqual([true, false, true, false]);
});

describe('a description that is no machine is refused whole', () => {
  const faults: [fault: string, functions: PciFunctionInit[], message: RegExp][] = [
    ['no function', [], /has no PCI function/],
    ['one function twice', [{ bdf: '00:01.0' }, { bdf: '0000:00:01.0' }], /0000:00:01.0 appears twice/],
    ['two bridges to one bus', [bridge('00:01.0', 1), bridge('00:02.0', 1)], /both claim bus 01 as secondary/],
    ['a bridge to its own bus', [bridge('01:00.0', 1)], /which is not below its own bus 01/],
    ['a bridge upward', [bridge('02:00.0', 1)], /not below its own bus 02/],
    ['an address that is none', [{ bdf: 'eth0' }], /"eth0" is not a PCI address/],
  ];
  test.each(faults)('%s', (_, functions, message) => {
    expect(() => new Topology({ functions })).toThrow(TopologyError);
    expect(() => new Topology({ functions })).toThrow(message);
  });

  test('more functions than the limit', () => {
    const functions = Array.from({ length: LIMITS.functions + 1 }, () => ({ bdf: '00:00.0' }));
    expect(() => new Topology({ functions })).toThrow(/at most 16384/);
  });
});

describe('configuration bytes that make no sense are survived', () => {
  const header = (edit: (bytes: Uint8Array) => void, length = 4096): Uint8Array => {
    const bytes = new Uint8Array(length);
    bytes.set([0x86, 0x80, 0x01, 0x19, 0, 0, 0x10, 0]);
    edit(bytes);
    return bytes;
  };
  const cases: [what: string, bytes: Uint8Array, caps: number | null][] = [
    ['fewer bytes than a header', new Uint8Array(63).fill(1), null],
    ['all ones', new Uint8Array(256).fill(0xff), null],
    ['all zeros', new Uint8Array(64), null],
    [
      'a capability that points to itself',
      header((bytes) => bytes.set([0x40], 0x34) ?? bytes.set([0x01, 0x40], 0x40)),
      1,
    ],
    ['a list that runs out of a short dump', header((bytes) => bytes.set([0x40], 0x34), 64), 0],
    ['a list that ends in ones', header((bytes) => bytes.set([0x40], 0x34) ?? bytes.set([0xff, 0xff], 0x40)), 0],
    ['a pointer without the list bit', header((bytes) => bytes.set([0], 0x06) ?? bytes.set([0x40], 0x34)), 0],
    ['an extended capability that points to itself', header((bytes) => bytes.set([0x0d, 0, 0x01, 0x10], 0x100)), 1],
  ];
  test.each(cases)('%s', (_, bytes, caps) => expect(decodeConfig(bytes)?.caps.length ?? null).toBe(caps));
});

describe('SR-IOV registers', () => {
  const withVfs = (control: number): Uint8Array => {
    const bytes = new Uint8Array(4096);
    bytes.set([0x86, 0x80, 0x72, 0x15]);
    bytes.set([0x10, 0, 0x01, 0], 0x100);
    bytes.set([control, 0], 0x108);
    bytes.set([64, 0, 32, 0, 4, 0], 0x10c);
    bytes.set([16, 0, 2, 0, 0, 0, 0x4c, 0x15], 0x114);
    return bytes;
  };
  const counts = { initialVfs: 64, totalVfs: 32, offset: 16, stride: 2, vfDevice: 0x154c };
  test('with VFs enabled', () => expect(decodeConfig(withVfs(1))?.sriov).toEqual({ ...counts, numVfs: 4 }));
  test('a count that is not enabled counts as none', () =>
    expect(decodeConfig(withVfs(0))?.sriov).toEqual({ ...counts, numVfs: 0 }));
});
