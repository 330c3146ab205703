import { pciFunction, type PciFunctionInit } from '../../pci/src/pci-function.js';
import { defaultResetMethods, resourceText } from './pci-attributes.js';

const hex = (value: string): string => `0x${value.padStart(16, '0')}`;
const line = (...values: string[]): string => values.map(hex).join(' ');
const NONE = line('0', '0', '0');

const config = new Uint8Array(256);
const view = new DataView(config.buffer);
view.setUint32(0x10, 0xfd84000c, true);
view.setUint32(0x14, 0x38, true);
view.setUint32(0x18, 0xc001, true);
view.setUint32(0x30, 0xfd800001, true);

const f = pciFunction({
  bdf: '0000:01:00.0',
  bars: [
    { index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 0x20000, vf: false },
    { index: 2, kind: 'io', bits: null, prefetchable: null, size: 32, vf: false },
    { index: 6, kind: 'mem', bits: 32, prefetchable: false, size: 0x40000, vf: false },
    { index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 0x4000, vf: true },
  ],
  config,
} as PciFunctionInit);

test('resource: start, last and flags of each window (trace b044)', () => {
  expect(resourceText(f).split('\n')).toEqual([
    line('38fd840000', '38fd85ffff', '14220c'),
    NONE,
    line('c000', 'c01f', '40101'),
    NONE,
    NONE,
    NONE,
    line('fd800000', 'fd83ffff', '46200'),
    ...Array<string>(6).fill(NONE),
  ]);
});

test('a window whose address nobody knows is not placed; bridges have more lines', () => {
  const [first] = resourceText({ ...f, config: null }).split('\n');
  expect(first).toBe(line('0', '1ffff', '2014220c'));
  expect(resourceText({ ...f, headerType: 1 }).split('\n')).toHaveLength(17);
});

test('the windows of a bridge are those of its registers; one that forwards nothing is zeros', () => {
  const bridge = new Uint8Array(256);
  const registers = new DataView(bridge.buffer);
  registers.setUint16(0x1c, 0x5151, true);
  registers.setUint32(0x20, 0xf100f000, true);
  registers.setUint32(0x24, 0x71f16001, true);
  registers.setUint32(0x28, 0x100, true);
  registers.setUint32(0x2c, 0x100, true);
  const windows = (config: Uint8Array) =>
    resourceText({ ...f, bars: [], headerType: 1, config })
      .split('\n')
      .slice(13);
  expect(windows(bridge)).toEqual([
    line('5000', '5fff', '101'),
    line('f0000000', 'f10fffff', '200'),
    line('10060000000', '10071ffffff', '102201'),
    NONE,
  ]);
  registers.setUint32(0x20, 0x0000fff0, true);
  expect(windows(bridge)[1]).toBe(NONE);
  expect(windows(new Uint8Array(256))).toEqual([NONE, NONE, NONE, NONE]);
});

test('reset_method is not there when there is no method; a function of unknown config space is made with FLR', () => {
  expect(defaultResetMethods(f, false)).toEqual([]);
  expect(defaultResetMethods(f, true)).toEqual(['bus']);
  expect(defaultResetMethods({ ...f, config: null, pcieType: 'endpoint' }, true)).toEqual(['flr', 'bus']);
  expect(defaultResetMethods({ ...f, config: null }, false)).toEqual([]);
});

test('memory behind a host bridge is where the processor has it; ports and what lies outside are where they are (trace d044)', () => {
  const start = (window: { bus: bigint; cpu: bigint; size: bigint }) =>
    resourceText(f, { window })
      .split('\n')
      .flatMap((each) => (each === NONE ? [] : [each.split(' ')[0]]));
  const cpu = 0x600c000000000n;
  expect(start({ bus: 0xfd800000n, cpu, size: 0x10000n })).toEqual([
    hex('38fd840000'),
    hex('c000'),
    hex('600c000000000'),
  ]);
  expect(start({ bus: 0xfd000000n, cpu, size: 0x800000n })[2]).toBe(hex('fd800000'));
  expect(start({ bus: 0n, cpu, size: 0x10000n })[1]).toBe(hex('c000'));
});

describe('where OPAL places windows (trace p001)', () => {
  const bytes = new Uint8Array(256);
  const registers = new DataView(bytes.buffer);
  registers.setUint32(0x20, 0xfee08000, true);
  registers.setUint32(0x24, 0x00010001, true);
  registers.setUint32(0x28, 0x60000, true);
  registers.setUint32(0x2c, 0x6003f, true);
  const bridge = { ...f, bars: [], config: bytes, headerType: 1 } as const;
  const memory = { bus: 0x80000000n, cpu: 0x600c000000000n, size: 0x7fff0000n };
  const wide = { bus: 0x6000000000000n, cpu: 0x6000000000000n, size: 0x3fc0000000n };
  const windows = (config: Uint8Array, placement: object) =>
    resourceText({ ...bridge, config }, placement)
      .split('\n')
      .slice(14, 16);

  it('a bridge at the top has those of its host bridge, without the top of the first', () =>
    expect(windows(bytes, { window: memory, top: { memory, wide } })).toEqual([
      line('600c000000000', '600c07fefffff', '200'),
      line('6000000000000', '6003fbff0ffff', '102201'),
    ]));

  it('nothing is left out of the second when there is no first', () => {
    const closed = bytes.slice();
    new DataView(closed.buffer).setUint32(0x20, 0, true);
    expect(windows(closed, { top: { memory, wide } })).toEqual([
      line('0', '0', '0'),
      line('6000000000000', '6003fbfffffff', '102201'),
    ]);
  });

  it('any other has what its registers say', () =>
    expect(windows(bytes, { window: memory })[0]).toBe(line('600c000000000', '600c07eefffff', '200')));

  it('BARs smaller than a page are aligned to it, and ROMs of a device tree are not prefetchable', () => {
    const flags = (placement: object) =>
      resourceText(f, placement)
        .split('\n')
        .flatMap((each) => (each === NONE ? [] : [each.slice(-6)]));
    expect(flags({ page: 0x40000 })).toEqual(['10220c', '040101', '046200']);
    expect(flags({ plainRoms: true })).toEqual(['14220c', '040101', '044200']);
  });

  it('a ROM that is off is where the kernel placed it', () => {
    const rom = { index: 6, kind: 'mem', bits: 32, prefetchable: false, size: 0x800, vf: false, address: 0x80000000n };
    const [, , , , , , text] = resourceText({ ...f, bars: [rom as never] }, { window: memory }).split('\n');
    expect(text).toBe(line('600c000000000', '600c0000007ff', '46200'));
  });
});
