import { bytesInWords, nearest, size, suggestion, written } from './words.js';

describe('a size', () => {
  test.each([
    [0n, '0'],
    [20n, '20 bytes'],
    [4096n, '4 KiB'],
    [0x400110000n, '16 GiB + 1 MiB + 64 KiB'],
  ])('%s is %s', (bytes, words) => expect(size(bytes)).toBe(words));
});

describe('a number under its field', () => {
  test.each<[string, string, number | string, bigint, string, string]>([
    ['a small one is decimal', 'ioas_id', 7, 7n, '', '7'],
    ['a large one is hex', 'length', 65536, 65536n, '', '0x10000'],
    ['an address is hex even when it is small', 'iova', 16, 16n, '', '0x10'],
    ['a count of IOVAs is none', 'num_iovas', 4, 4n, '', '4'],
    ['a unit stays', 'length', '16GiB', 1n << 34n, '', '16GiB'],
    ['a flag of the call loses its prefix', 'flags', 'IOMMU_IOAS_MAP_READABLE', 4n, 'IOMMU_IOAS_MAP_', 'READABLE'],
    ['flags of another lose what they share', 'flags', 'AB_C_D|AB_C_E', 3n, 'X_', 'D|E'],
    ['one flag of another stays', 'index', 'VFIO_PCI_MSI_IRQ_INDEX', 1n, 'X_', 'VFIO_PCI_MSI_IRQ_INDEX'],
  ])('%s', (_rule, name, raw, value, prefix, words) => expect(written(name, raw, value, prefix)).toBe(words));
});

describe('bytes', () => {
  test.each([
    ['text is quoted, without the zeros behind it', new TextEncoder().encode('hi\0\0'), '"hi"'],
    ['anything else is hex', Uint8Array.of(0, 255), '00 ff'],
    ['long ones are cut', new Uint8Array(17), `${'00 '.repeat(16)}... (17 bytes)`],
  ])('%s', (_rule, bytes, words) => expect(bytesInWords(bytes)).toBe(words));
});

describe('the name that was meant', () => {
  const known = ['open', 'close', 'out_ioas_id', '7.2', '6.12'];
  test.each([
    ['letters swapped', 'opne', 'open'],
    ['a letter missing', 'clse', 'close'],
    ['capital letters', 'OPEN', 'open'],
    ['only a part', 'ioas_id', 'out_ioas_id'],
    ['none is near', '5.4', undefined],
    ['too short to be a part', 'out', undefined],
  ])('%s', (_rule, name, meant) => expect(nearest(name, known)).toBe(meant));

  test('when none is near, all are listed, if they are few', () => {
    expect(suggestion('zzz', known)).toBe('Use one of: open, close, out_ioas_id, 7.2, 6.12.');
    expect(
      suggestion(
        'zzz',
        Array.from({ length: 41 }, (_, i) => `name${i}`),
      ),
    ).toBe('There are 41 to choose from.');
    expect(suggestion('zzz', [])).toBe('Nothing may stand here.');
  });
});
