import { pciFunction, type PciFunctionInit } from '../../pci/src/pci-function.js';
import { resetMethodText, resourceText } from './pci-attributes.js';

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

test('reset_method is not there when there is no method; a function of unknown config space is made with FLR', () => {
  expect(resetMethodText(f, false)).toBeUndefined();
  expect(resetMethodText(f, true)).toBe('bus');
  expect(resetMethodText({ ...f, config: null, pcieType: 'endpoint' }, true)).toBe('flr bus');
  expect(resetMethodText({ ...f, config: null }, false)).toBeUndefined();
});
