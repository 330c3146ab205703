/** Broken, oversized and damaged lspci text: which line is named, where the limits are, and that nothing else happens. */
import { readFileSync } from 'node:fs';
import { LIMITS, TopologyError, computeGroups, importLspci, importTopology } from './index.js';

const REAL = readFileSync(new URL('../../../test/machines/lambda-vector-wrx80-a.lspci', import.meta.url), 'utf8');

describe('a broken line is named, with what was expected', () => {
  const HEAD = '00:00.0 Host bridge [0600]: Intel Corporation Device [8086:1237]';
  const row = (offset: string, bytes = 16): string => `${offset}:${' 00'.repeat(bytes)}`;
  const faults: [fault: string, text: string, line: number, message: RegExp][] = [
    ['an empty text', '', 1, /holds no PCI device/],
    ['a text of something else', 'Dear sir,\nI have a computer.', 1, /holds no PCI device/],
    ['a title where a header belongs', 'Host bridge of mine\n\tNUMA node: 0', 1, /is not a device header/],
    ['a first header that is damaged', `0000:0x:00.0 Host bridge [0600]: Intel\n${HEAD}`, 1, /is not a device header/],
    [
      'a first header that lost its address',
      `Host bridge [0600]: Intel [8086:1237]\n${HEAD}`,
      1,
      /is not a device header/,
    ],
    ['a stray line between devices', `${HEAD}\nhello`, 2, /"hello" is not a device header/],
    ['a slot above 1f', `${HEAD}\n00:20.0 0200: 8086:1533`, 2, /"00:20.0" is not a PCI address/],
    ['a function above 7', '00:1f.8 0200: 8086:1533', 1, /"00:1f.8" is not a PCI address/],
    ['a half address', `${HEAD}\n00:1 Host bridge`, 2, /is not a device header/],
    ['a header without a device', '00:00.0 Host bridge', 1, /has no class and device/],
    ['a detail before any device', '\tNUMA node: 0', 1, /comes before any device/],
    ['hex before any device', row('00'), 1, /before any device/],
    ['a row out of order', `${HEAD}\n${row('00')}\n${row('20')}`, 3, /starts at 20, but 10 is next/],
    ['a row said twice', `${HEAD}\n${row('00')}\n${row('00')}`, 3, /starts at 00, but 10 is next/],
    ['a short row', `${HEAD}\n${row('00', 15)}`, 2, /has 15 bytes/],
    ['a digit that is none', `${HEAD}\n${row('00').replace('00 00', '0g 00')}`, 2, /is not a device header/],
    ['a dump shorter than a header', `${HEAD}\n${row('00')}`, 1, /ends after 16 bytes/],
    ['bridge buses', `${HEAD}\n\tBus: primary=00, secondary=xx, subordinate=01`, 2, /Expected "Bus: primary=00/],
    ['a NUMA node', `${HEAD}\n\tNUMA node: two`, 2, /Expected "NUMA node: 0"/],
    ['a group', `${HEAD}\n\tIOMMU group: -`, 2, /Expected "IOMMU group: 12"/],
    ['a region', `${HEAD}\n\tRegion x: Memory at 0`, 2, /Expected "Region 0: Memory/],
    ['a capability', `${HEAD}\n\tCapabilities: [zz] Express`, 2, /Expected "Capabilities: \[40\]/],
    ['an ACS register', `${HEAD}\n\tACSCtl: none`, 2, /Expected "ACSCtl: SrcValid\+/],
    ['VF counts', `${HEAD}\n\tInitial VFs: many`, 2, /Expected "Initial VFs: 8/],
    ['VF layout', `${HEAD}\n\tVF offset: 1`, 2, /Expected "VF offset: 2/],
    ['a device twice', `${HEAD}\n\n${HEAD}`, 3, /0000:00:00.0 appears twice/],
    [
      'two bridges to one bus',
      '00:01.0 0604: 8086:1901\n\tBus: primary=00, secondary=01, subordinate=01\n00:02.0 0604: 8086:1905\n\tBus: primary=00, secondary=01, subordinate=01',
      3,
      /0000:00:02.0 and 0000:00:01.0 both claim bus 01/,
    ],
    [
      'a bridge to its own bus',
      '01:00.0 0604: 8086:1901\n\tBus: primary=00, secondary=01, subordinate=01',
      1,
      /not below its own bus 01/,
    ],
  ];
  test.each(faults)('%s', (_, text, line, message) => {
    try {
      importLspci(text);
    } catch (error) {
      expect(error).toBeInstanceOf(TopologyError);
      expect(error).toMatchObject({ line, path: null, hint: expect.stringMatching(/\w/) as string });
      expect((error as Error).message).toMatch(message);
      return;
    }
    throw new Error('the text was accepted');
  });
});

describe('bounds', () => {
  const HEAD = '00:00.0 0600: 8086:1237\n';
  const slots = (count: number): string =>
    Array.from({ length: count }, (_, n) => {
      const [domain, bus, dev] = [n >> 13, (n >> 5) & 255, n & 31].map((part) => part.toString(16));
      return `${domain?.padStart(4, '0')}:${bus?.padStart(2, '0')}:${dev?.padStart(2, '0')}.0 0200: 8086:1533`;
    }).join('\n');
  const caps = (count: number): string => HEAD + '\tCapabilities: [40] Null\n'.repeat(count);
  const regions = (count: number): string => HEAD + '\tRegion 0: Memory at 0 [size=4K]\n'.repeat(count);
  const rows = (count: number): string =>
    HEAD +
    Array.from({ length: count }, (_, n) => `${(n * 16).toString(16).padStart(2, '0')}:${' 00'.repeat(16)}`).join('\n');
  const cases: [bound: string, make: (count: number) => string, limit: number][] = [
    ['functions', slots, LIMITS.functions],
    ['capabilities of a function', caps, LIMITS.capabilities],
    ['regions of a function', regions, LIMITS.bars],
    ['hex rows of a function', rows, LIMITS.configBytes / 16],
    ['characters of a line', (count) => `${HEAD}\t${'x'.repeat(count - 1)}`, LIMITS.lineLength],
    ['characters of a text', (count) => HEAD + '\n'.repeat(count - HEAD.length), LIMITS.textLength],
  ];
  test.each(cases)('%s: the limit is accepted, one more is refused', (name, make, limit) => {
    if (name !== 'characters of a text') expect(importLspci(make(limit)).functions.length).toBeGreaterThan(0);
    expect(() => importLspci(make(limit + 1))).toThrow(TopologyError);
  });
});

/** xorshift32: a small seeded generator of numbers below `bound`. */
const seeded =
  (seed: number) =>
  (bound: number): number => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % bound;
  };

const mutate = (text: string, below: (bound: number) => number): string => {
  const lines = text.split('\n');
  for (let count = 1 + below(4); count > 0; count--) {
    const at = below(lines.length);
    const line = lines[at] ?? '';
    const cut = below(line.length + 1);
    const kinds = [
      () => lines.splice(at, 1),
      () => lines.splice(at, 0, line),
      () => lines.splice(at, 1, line.slice(0, cut)),
      () => lines.splice(at, 1, line.slice(0, cut) + String.fromCharCode(below(0x300)) + line.slice(cut + 1)),
      () => lines.splice(at, 1, line.slice(0, cut) + below(256).toString(16) + line.slice(cut + 2)),
      () => lines.splice(at, 1, line.trimStart()),
      () => lines.splice(at, below(40), ...lines.slice(below(lines.length)).slice(0, below(40))),
    ];
    kinds[below(kinds.length)]?.();
  }
  return lines.join('\n');
};

test('a damaged file is imported or refused with a TopologyError, never anything else', () => {
  const sample = REAL.split('\n').slice(0, 420).join('\n');
  const outcomes = { imported: 0, refused: 0 };
  for (let seed = 1; seed <= 600; seed++) {
    try {
      computeGroups(importTopology(mutate(sample, seeded(seed))));
      outcomes.imported++;
    } catch (error) {
      if (!(error instanceof TopologyError) || error.message === '') throw error;
      outcomes.refused++;
    }
  }
  expect(outcomes.imported).toBeGreaterThan(50);
  expect(outcomes.refused).toBeGreaterThan(50);
});
