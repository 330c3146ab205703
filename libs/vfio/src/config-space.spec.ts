import { resetMethods } from '@vfiolab/pci';
import { deviceApi, type FunctionFacts, GROUPS } from '@vfiolab/core';
import { VFIO_DEVICE_RESET } from '@vfiolab/uapi';
import { configLayout } from './config-layout.js';
import { ConfigSpace } from './config-space.js';
import { bench, boundBench, CONFIG } from './testing/client.js';
import { E1000E, E1000E_CONFIG, EDU, NVME } from './testing/functions.js';

const hexOf = (b: Uint8Array): string => Buffer.from(b).toString('hex');

describe('reads of config space (trace b042)', () => {
  const { c, dev } = boundBench(EDU);
  test.each<[number, number, string]>([
    [0, 1, '34'],
    [0, 2, '3412'],
    [0, 4, '3412e811'],
    [1, 1, '12'],
    [1, 2, '12e8'],
    [1, 4, '12e81103'],
    [254, 4, 'EFAULT'],
    [255, 2, 'EFAULT'],
    [256, 4, 'EFAULT'],
    [4092, 4, 'EFAULT'],
    [4095, 2, 'EFAULT'],
    [0, 4096, 'EFAULT'],
    [0, 0, ''],
    [0, 0xffffffff, 'EFAULT'],
  ])('at %i, %i bytes: %s', (at, length, data) => {
    expect(c.pread(dev, CONFIG + at, length)).toBe(data);
  });

  test('the whole header as the kernel shows it after open (trace b044)', () => {
    expect(c.pread(dev, CONFIG, 64)).toBe(
      '3412e811030110001000ff00000000000000a0fd000000000000000000000000000000000000000000000000f41a00110000000040000000000000000b010000',
    );
  });
});

describe('writes to the header (trace b044, in its order)', () => {
  const { c, dev } = boundBench(EDU);
  test.each<[string, number, string, string]>([
    ['ids are fixed', 0, 'ffffffff', '3412e811'],
    ['the command keeps what the function has', 4, 'ffff', '0705'],
    ['status is not written', 6, 'ffff', '1000'],
    ['revision and class are fixed', 8, 'ffffffff', '1000ff00'],
    ['cache line size is written', 12, 'ff', 'ff'],
    ['latency timer is hard-wired', 13, 'ff', '00'],
    ['header type is fixed', 14, 'ff', '00'],
    ['BAR 0 tells its size of 1 MiB', 16, 'ffffffff', '0000f0ff'],
    ['BAR 1 has no window', 20, 'ffffffff', '00000000'],
    ['BAR 5 has no window', 36, 'ffffffff', '00000000'],
    ['CardBus pointer is fixed', 40, 'ffffffff', '00000000'],
    ['subsystem ids are fixed', 44, 'ffffffff', 'f41a0011'],
    ['there is no ROM', 48, 'ffffffff', '00000000'],
    ['capability pointer is fixed', 52, 'ff', '40'],
    ['interrupt line is scratch', 60, 'ff', 'ff'],
    ['interrupt pin is fixed', 61, 'ff', '01'],
    ['minimum grant is fixed', 62, 'ff', '00'],
    ['MSI: granted vectors and enable do not stick, the rest of the low byte does', 64, 'ffffffff', '05008e00'],
    ['a BAR address is kept', 16, '000000fe', '000000fe'],
  ])('%s', (_rule, at, written, read) => {
    expect(c.pwrite(dev, CONFIG + at, written)).toBe(written.length / 2);
    expect(c.pread(dev, CONFIG + at, read.length / 2)).toBe(read);
  });

  test('command 0 turns everything off and leaves the rest', () => {
    c.pwrite(dev, CONFIG + 4, '0000');
    expect(c.pread(dev, CONFIG, 64)).toBe(
      '3412e811000010001000ff00ff000000000000fe000000000000000000000000000000000000000000000000f41a0011000000004000000000000000ff010000',
    );
    expect(c.h.core.check()).toEqual([]);
  });

  test('one write over many fields does to each what is its own', () => {
    expect(c.pwrite(dev, CONFIG, 'ff'.repeat(64))).toBe(64);
    expect(c.pread(dev, CONFIG, 20)).toBe('3412e811070510001000ff00ff0000000000f0ff');
  });

  test('a write that ends outside changes nothing', () => {
    c.pwrite(dev, CONFIG + 60, '11');
    expect(c.pwrite(dev, CONFIG + 60, '22'.repeat(197))).toBe('EFAULT');
    expect(c.pread(dev, CONFIG + 60, 1)).toBe('11');
  });
});

test('the MSI capability is scratch until SET_IRQS has MSI on (trace b045)', () => {
  const { c, dev } = boundBench(EDU);
  const at = CONFIG + 64;
  expect(c.pread(dev, at, 16)).toBe('05008000000000000000000000000000');
  c.pwrite(dev, at + 2, '0100');
  expect(c.pread(dev, at + 2, 2)).toBe('0000');
  for (const [offset, data] of [
    [4, 'efbeadde'],
    [8, '78563412'],
    [12, 'cdab'],
  ] as const)
    c.pwrite(dev, at + offset, data);
  c.pwrite(dev, at + 2, '7000');
  c.pwrite(dev, at, 'ffff');
  const scratch = '05000000efbeadde78563412cdab0000';
  expect(c.pread(dev, at, 16)).toBe(scratch);
  expect(c.setEventfds(dev, 1, 0, [10])).toBeUndefined();
  expect(c.pread(dev, at, 16)).toBe(scratch);
  c.pwrite(dev, at + 2, '0100');
  expect(c.pread(dev, at + 2, 2)).toBe('0100');
  expect(c.setIrqs(dev, 33, 1, 0, 0)).toBeUndefined();
});

describe('capabilities of a PCI Express function (trace b046, in its order)', () => {
  const { c, dev } = boundBench(E1000E);
  test('all of it reads as the kernel shows it', () => {
    expect(c.pread(dev, CONFIG, 336)).toBe(hexOf(E1000E_CONFIG.subarray(0, 336)));
    expect(c.pread(dev, CONFIG + 4092, 4)).toBe('00000000');
    expect(c.pread(dev, CONFIG + 4096, 1)).toBe('EFAULT');
  });

  test.each<[string, number, string, string]>([
    ['power management: header fixed', 0xc8, 'ffff', '01d0'],
    ['power control: state and data select, no wake-up', 0xcc, 'ffff', '031e'],
    ['asleep', 0xcc, '0300', '0300'],
    ['awake', 0xcc, '0000', '0000'],
    ['MSI enable does not stick', 0xd2, '0100', '0000'],
    ['device control: payload and read request are scratch, reset reads 0', 0xe8, 'ffffffff', 'e0700000'],
    ['device control: the reset bit alone', 0xe8, '0080', '0000'],
    ['device status is not written', 0xea, 'ffff', '0000'],
    ['link control is not written', 0xf0, 'ffff', '0000'],
    ['MSI-X enable and mask are not written', 0xa2, '00c0', '0400'],
    ['extended header is fixed', 0x100, 'ffffffff', '01000214'],
    ['error status is not written', 0x104, 'ffffffff', '00000000'],
    ['serial number header is fixed', 0x140, 'ffffffff', '03000100'],
  ])('%s', (_rule, at, written, read) => {
    expect(c.pwrite(dev, CONFIG + at, written)).toBe(written.length / 2);
    expect(c.pread(dev, CONFIG + at, read.length / 2)).toBe(read);
  });

  test('memory BARs do not answer in D3hot', () => {
    c.pwrite(dev, CONFIG + 0xcc, '0300');
    expect(c.pread(dev, 0, 4)).toBe('EIO');
    c.pwrite(dev, CONFIG + 0xcc, '0000');
    expect(c.pread(dev, 0, 4)).toBe('ed000001');
  });
});

test('coming back from D3hot without a state-keeping promise loses the registers', () => {
  const { c, dev } = boundBench(E1000E);
  c.pwrite(dev, 4, '01000000');
  c.pwrite(dev, CONFIG + 0xcc, '0300');
  c.pwrite(dev, CONFIG + 0xcc, '0000');
  expect(c.pread(dev, 4, 4)).toBe('00000000');
});

test('firmware that keeps functions awake loses writes to power control, and to nothing else (trace d046)', () => {
  const { c, dev } = boundBench({ ...E1000E, powerFixed: true });
  c.pwrite(dev, 4, '01000000');
  c.pwrite(dev, CONFIG + 0xcc, 'ffff');
  expect(c.pread(dev, CONFIG + 0xcc, 2)).toBe('0000');
  c.pwrite(dev, CONFIG + 0xcc, '0000');
  expect(c.pread(dev, 4, 4)).toBe('feffffff');
  c.pwrite(dev, CONFIG + 0xe8, 'ff00');
  expect(c.pread(dev, CONFIG + 0xe8, 2)).not.toBe('0000');
});

test('a reset wakes the function up and puts power control back (random trace r4)', () => {
  const { c, dev } = boundBench(E1000E);
  c.pwrite(dev, CONFIG + 0xcc, 'ff0b');
  expect(c.pread(dev, CONFIG + 0xcc, 2)).toBe('030a');
  expect(c.plain(dev, VFIO_DEVICE_RESET.nr)).toBe(0);
  expect(c.pread(dev, CONFIG + 0xcc, 2)).toBe('0000');
});

describe('the IOMMU is told of resets of a function with ATS, on kernels after 6.12 (semantics C1.5)', () => {
  const config = new Uint8Array(4096);
  config.set(NVME.config);
  config.set([0x0f, 0, 1, 0], 0x100);

  test.each([
    ['7.2', config, ['parked', 'over', 'parked', 'over']],
    ['6.12', config, []],
    ['7.2', NVME.config, []],
  ] as const)('%s', (profile, of, told) => {
    const { c, dev } = boundBench({ ...NVME, profile, config: of });
    expect(c.plain(dev, VFIO_DEVICE_RESET.nr)).toBe(0);
    c.pwrite(dev, CONFIG + 0x88, '0080');
    expect(c.h.world.parked).toEqual(told);
  });

  test('not of a reset of the whole bus', () => {
    const { c } = boundBench({ ...NVME, profile: '7.2', config });
    expect(c.h.ask(deviceApi.hotReset, { rest: [] }, GROUPS).ok).toBe(true);
    expect(c.h.world.parked).toEqual([]);
  });
});

test('function level reset by config write needs the capability: e1000e has none, nvme has', () => {
  const liveness = (facts: FunctionFacts, deviceControl: number): string => {
    const { c, dev } = boundBench(facts);
    c.pwrite(dev, 4, '01000000');
    c.pwrite(dev, CONFIG + deviceControl, '0080');
    expect(c.pread(dev, CONFIG + deviceControl, 2)).toBe('0000');
    return c.pread(dev, 4, 4);
  };
  expect([liveness(E1000E, 0xe8), liveness(NVME, 0x88)]).toEqual(['feffffff', '00000000']);
});

test('gaps between capabilities hold what is written to them (random traces r4)', () => {
  const { c, dev } = boundBench(EDU);
  expect(c.pwrite(dev, CONFIG + 78, '06efff0102')).toBe(5);
  expect(c.pread(dev, CONFIG + 78, 5)).toBe('06efff0102');
});

test('64-bit BARs are sized over both registers', () => {
  const { c, dev } = boundBench(NVME);
  c.pwrite(dev, CONFIG + 16, 'ffffffffffffffff');
  expect(c.pread(dev, CONFIG + 16, 8)).toBe('04c0ffffffffffff');
});

describe('hidden capabilities', () => {
  const facts = (edit: (b: Uint8Array) => void): FunctionFacts => {
    const config = E1000E_CONFIG.slice();
    edit(config);
    return { ...E1000E, config };
  };

  test('an unknown capability is taken out of the list', () => {
    const config = new ConfigSpace(configLayout(facts((b) => (b[0xd0] = 0x0d))));
    expect(config.read(0xc8, 2)).toEqual({ ok: true, value: Uint8Array.of(1, 0xe0) });
  });

  test('a list that bites its tail ends', () => {
    const config = new ConfigSpace(configLayout(facts((b) => (b[0xa1] = 0xc8))));
    expect(config.read(0xa0, 2)).toEqual({ ok: true, value: Uint8Array.of(0x11, 0) });
  });

  test('the first extended capability, when hidden, keeps its place with id 0', () => {
    const config = new ConfigSpace(configLayout(facts((b) => (b[0x100] = 0x1b))));
    expect(config.read(0x100, 4)).toEqual({ ok: true, value: Uint8Array.of(0, 0, 0, 0x14) });
  });

  test('a later hidden extended capability is skipped', () => {
    const config = new ConfigSpace(configLayout(facts((b) => (b[0x140] = 0x1b))));
    expect(config.read(0x100, 4)).toEqual({ ok: true, value: Uint8Array.of(1, 0, 2, 0) });
  });
});

describe('functions whose config the machine does not give', () => {
  const bare = { ...E1000E, config: new Uint8Array(0), busReset: false };

  test('get a header from their facts, a reset and MSI-X', () => {
    const layout = configLayout(bare);
    expect(hexOf(layout.hardware.subarray(0, 12))).toBe('8680d3100300100000000002');
    expect(layout.size).toBe(4096);
    expect(layout.places.msix).toMatchObject({ vectors: 8, bar: 3, table: 0x2000, pba: 0x3000 });
    expect(resetMethods(layout.hardware, bare.busReset)).toEqual(['flr']);
  });

  test('get MSI when no BAR can hold a table', () => {
    const layout = configLayout({
      ...bare,
      bars: [{ index: 0, size: 4096, io: false, wide: false, prefetchable: false }],
    });
    expect(layout.places.msix).toBeUndefined();
    expect(layout.places.msi).toBe(0x80);
  });

  test('windows without an address get one that fits their size', () => {
    const { hardware } = configLayout(bare);
    expect(hexOf(hardware.subarray(16, 32))).toBe('000000e0000002e001c00000000004e0');
  });

  test('nothing is added to a function that has INTx', () => {
    expect(
      configLayout({ ...EDU, config: EDU.config.map((b, i) => (i === 64 ? 0x09 : i === 66 ? 8 : b)) }).places,
    ).toEqual({});
  });

  test('a function without any interrupt gets MSI-X in front of its list', () => {
    const config = EDU.config.map((b, i) => (i === 0x3d ? 0 : i === 64 ? 0x09 : i === 66 ? 8 : b));
    const layout = configLayout({ ...EDU, config });
    expect(layout.places.msix?.at).toBe(0xf0);
    expect([layout.shadow[0x34], layout.shadow[0xf1]]).toEqual([0xf0, 0x40]);
  });
});

describe('reset methods (semantics D6.1)', () => {
  test.each<[string, FunctionFacts, string[]]>([
    ['edu has none (trace b060)', EDU, []],
    ['e1000e: pm and bus (trace b060)', E1000E, ['pm', 'bus']],
    ['nvme: function level reset; its registers survive D3hot, so not pm', NVME, ['flr']],
  ])('%s', (_rule, facts, methods) => {
    expect(resetMethods(configLayout(facts).hardware, facts.busReset)).toEqual(methods);
  });
});

test('I42: the check sees a hardware bit that changed by itself', () => {
  const { c, dev } = boundBench(EDU);
  expect(c.h.core.check()).toEqual([]);
  const { config } = (c.h.core as unknown as { device: { config: { hardware: Uint8Array } } }).device;
  config.hardware[0x10] = 0xff;
  expect(c.h.core.check()).toEqual([expect.stringContaining('I42')]);
  expect(dev).toBeDefined();
});

test('every open begins with a fresh config space', () => {
  const c = bench(EDU);
  const first = c.open();
  c.bind(first);
  c.pwrite(first, CONFIG + 4, '0600');
  c.pwrite(first, CONFIG + 60, '77');
  c.close(first);
  const second = c.open();
  c.bind(second);
  expect(c.pread(second, CONFIG + 4, 2)).toBe('0301');
  expect(c.pread(second, CONFIG + 60, 1)).toBe('0b');
});

test('opening wakes up a function that the machine had asleep, with message interrupts off', () => {
  const config = E1000E_CONFIG.slice();
  config[0xcc] = 3;
  config[0xd2] = 0x81;
  config[0xa3] = 0x80;
  const { c, dev } = boundBench({ ...E1000E, config });
  expect([c.pread(dev, CONFIG + 0xcc, 1), c.pread(dev, CONFIG + 0xd2, 1), c.pread(dev, CONFIG + 0xa2, 2)]).toEqual([
    '00',
    '80',
    '0400',
  ]);
  expect(c.pread(dev, 0, 4)).toBe('ed000001');
  expect(c.h.core.check()).toEqual([]);
});

describe('a VF (semantics D3, SR-IOV)', () => {
  const VF: FunctionFacts = { ...NVME, vf: true };

  test('has registers for BARs that its PF places, sizes them as any, and has no INTx when nobody knows its config', () => {
    const { c, dev } = boundBench(VF);
    expect(c.pread(dev, CONFIG + 16, 8)).toBe('0400000000000000');
    c.pwrite(dev, CONFIG + 16, 'ffffffffffffffff');
    expect(c.pread(dev, CONFIG + 16, 8)).toBe('04c0ffffffffffff');
    const made = configLayout({ ...VF, config: new Uint8Array(0) });
    expect([made.hardware[0x3d], configLayout({ ...NVME, config: new Uint8Array(0) }).hardware[0x3d]]).toEqual([0, 1]);
  });

  test('decodes memory whatever its command register says, but not in D3hot', () => {
    const config = new ConfigSpace(configLayout(VF));
    config.writeChunk(4, Uint8Array.of(0, 0));
    expect([config.command & 2, config.memoryEnabled]).toEqual([0, true]);
    const plain = new ConfigSpace(configLayout(NVME));
    plain.writeChunk(4, Uint8Array.of(0, 0));
    expect(plain.memoryEnabled).toBe(false);
  });
});
