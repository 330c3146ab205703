import * as uapi from '@vfiolab/uapi';
import { boundBench } from './testing/client.js';
import { E1000E, EDU, NVME } from './testing/functions.js';

describe('GET_INFO (traces b040, b060)', () => {
  const { c, dev } = boundBench(EDU);
  const info = (argsz: number) => c.ioctl(dev, uapi.VFIO_DEVICE_GET_INFO, {}, { argsz });

  test('below 16 bytes is EINVAL', () => {
    expect(info(15).errno).toBe('EINVAL');
  });
  test.each([16, 20, 24, 88])('argsz %i gets as much as fits', (argsz) => {
    const { errno, out } = info(argsz);
    expect(errno).toBeUndefined();
    expect(out).toMatchObject({ argsz, flags: 2, num_regions: 9, num_irqs: 5, cap_offset: 0 });
  });
  test('no memory is EFAULT', () => {
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_GET_INFO, {}, { present: 0 }).errno).toBe('EFAULT');
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_GET_INFO, {}, { readOnly: true }).errno).toBe('EFAULT');
  });
  test('a function that can be reset says so', () => {
    const other = boundBench(E1000E);
    expect(other.c.ioctl(other.dev, uapi.VFIO_DEVICE_GET_INFO, {}).out.flags).toBe(3);
  });
});

describe('GET_REGION_INFO', () => {
  type Row = [region: number, flags: number, size: bigint];
  const tables: [string, typeof EDU, Row[]][] = [
    [
      'edu (trace b040)',
      EDU,
      [
        [0, 7, 0x100000n],
        [1, 0, 0n],
        [5, 0, 0n],
        [6, 0, 0n],
        [7, 3, 0x100n],
      ],
    ],
    [
      'e1000e (trace b041)',
      E1000E,
      [
        [0, 7, 0x20000n],
        [1, 7, 0x20000n],
        [2, 3, 0x20n],
        [3, 15, 0x4000n],
        [4, 0, 0n],
        [7, 3, 0x1000n],
      ],
    ],
    [
      'nvme (trace b041)',
      NVME,
      [
        [0, 15, 0x4000n],
        [1, 0, 0n],
        [7, 3, 0x1000n],
      ],
    ],
  ];
  test.each(tables)('%s', (_name, facts, rows) => {
    const { c, dev } = boundBench(facts);
    for (const [index, flags, size] of rows) {
      const { errno, out } = c.ioctl(dev, uapi.VFIO_DEVICE_GET_REGION_INFO, { index }, { tail: new Uint8Array(96) });
      expect(errno).toBeUndefined();
      expect(out).toMatchObject({ flags, size, offset: BigInt(index) << 40n, cap_offset: flags & 8 ? 32 : 0 });
    }
  });

  const { c, dev } = boundBench(NVME);
  test.each([8, 9, 10, 0xffffffff])('region %i is EINVAL', (index) => {
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_GET_REGION_INFO, { index }).errno).toBe('EINVAL');
  });
  test.each([31, 16])('argsz %i is EINVAL', (argsz) => {
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_GET_REGION_INFO, {}, { argsz }).errno).toBe('EINVAL');
  });
  test('the capability says that the BAR with the MSI-X table may be mapped', () => {
    const { out, bytes } = c.ioctl(dev, uapi.VFIO_DEVICE_GET_REGION_INFO, {}, { tail: new Uint8Array(8) });
    expect(uapi.parseChain(bytes, out.cap_offset)).toMatchObject([{ id: 3, version: 1 }]);
  });
  test('without room for it: success, and the size that would do', () => {
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_GET_REGION_INFO, {}).out).toMatchObject({
      argsz: 40,
      flags: 15,
      cap_offset: 0,
    });
  });
  test('a capability that cannot be written is EFAULT', () => {
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_GET_REGION_INFO, {}, { argsz: 40 }).errno).toBe('EFAULT');
  });
});

describe('GET_IRQ_INFO', () => {
  type Row = [index: number, answer: { flags: number; count: number } | 'EINVAL'];
  const tables: [string, typeof EDU, Row[]][] = [
    [
      'edu (trace b040)',
      EDU,
      [
        [0, { flags: 7, count: 1 }],
        [1, { flags: 9, count: 1 }],
        [2, { flags: 9, count: 0 }],
        [3, 'EINVAL'],
        [4, { flags: 9, count: 1 }],
        [5, 'EINVAL'],
        [6, 'EINVAL'],
      ],
    ],
    ['edu on 7.3 has ERR', { ...EDU, profile: '7.3' }, [[3, { flags: 9, count: 1 }]]],
    [
      'e1000e (trace b053)',
      E1000E,
      [
        [1, { flags: 9, count: 1 }],
        [2, { flags: 1, count: 5 }],
        [3, { flags: 9, count: 1 }],
      ],
    ],
    [
      'nvme (trace b041)',
      NVME,
      [
        [0, { flags: 7, count: 1 }],
        [1, { flags: 9, count: 0 }],
        [2, { flags: 1, count: 7 }],
        [3, { flags: 9, count: 1 }],
        [4, { flags: 9, count: 1 }],
      ],
    ],
  ];
  test.each(tables)('%s', (_name, facts, rows) => {
    const { c, dev } = boundBench(facts);
    for (const [index, answer] of rows) {
      const { errno, out } = c.ioctl(dev, uapi.VFIO_DEVICE_GET_IRQ_INFO, { index });
      if (answer === 'EINVAL') expect(errno).toBe('EINVAL');
      else expect(out).toMatchObject(answer);
    }
  });
  test('argsz 15 is EINVAL', () => {
    const { c, dev } = boundBench(EDU);
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_GET_IRQ_INFO, {}, { argsz: 15 }).errno).toBe('EINVAL');
  });
});
