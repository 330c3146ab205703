/** A function for machines whose recorded ones have no PASIDs: a DMA engine on the root bus with ATS, page requests and PASIDs. */

export const RICH = '0000:00:0b.0';

/** Capabilities in config space: where, and their first words. */
const WORDS: readonly (readonly [at: number, word: number])[] = [
  [0x00, 0x11e81234],
  [0x04, 0x00100000],
  [0x08, 0x00ff0010],
  [0x34, 0x40],
  // PCI Express, integrated into the root complex; MSI.
  [0x40, 0x00928010],
  [0x80, 0x00800005],
  // ATS, page requests, PASIDs of 20 bits.
  [0x100, 0x1401_000f],
  [0x140, 0x1801_0013],
  [0x180, 0x0001_001b],
  [0x184, (20 << 8) | 6],
];

function configSpace(): string {
  const view = new DataView(new ArrayBuffer(4096));
  for (const [at, word] of WORDS) view.setUint32(at, word, true);
  return Buffer.from(view.buffer).toString('hex');
}

export const richFunction = () => ({
  bdf: RICH,
  vendor: '0x1234',
  device: '0x11e8',
  class: '0x00ff00',
  header_type: 0,
  pcie_type: 'rciep',
  driver: 'vfio-pci',
  bars: [{ index: 0, kind: 'mem', bits: 32, prefetchable: false, size: 1 << 20 }],
  config: configSpace(),
});
