/** lspci text in, topology out: what each form of the text gives. Broken text is in import-lspci-faults.spec.ts. */
import { readFileSync } from 'node:fs';
import { computeGroups, importLspci, importTopology, type PciFunction } from './index.js';

const MACHINES = new URL('../../../test/machines/', import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, MACHINES), 'utf8');
const REAL = read('lambda-vector-wrx80-a.lspci');
const HEX_ROW = /^[0-9a-f]{2,3}: /;

const partition = (text: string): string[] =>
  computeGroups(importTopology(text))
    .map((group) => group.devices.join(' '))
    .sort();

const only = (text: string): PciFunction => {
  const [first] = importLspci(text).functions;
  if (!first) throw new Error('no function');
  return first;
};

const editLines = (text: string, edit: (line: string) => string | null): string =>
  text
    .split('\n')
    .map(edit)
    .filter((line) => line !== null)
    .join('\n');

describe('a real machine gives the same groups in every form of its text', () => {
  const forms: [form: string, text: string][] = [
    ['as lspci -Dnnvvvxxx printed it', REAL],
    ['without hex', editLines(REAL, (line) => (HEX_ROW.test(line) ? null : line))],
    ['without domains', editLines(REAL, (line) => line.replace(/^0000:/, ''))],
    ['without recorded groups', editLines(REAL, (line) => (line.includes('IOMMU group') ? null : line))],
    ['with hex, without blank lines between devices', editLines(REAL, (line) => (line === '' ? null : line))],
    ['with spaces in place of tabs', REAL.replaceAll('\t', '        ')],
    ['with DOS line ends and a byte order mark', `\uFEFF${REAL.replaceAll('\n', '\r\n')}`],
    ['quoted in a mail', editLines(REAL, (line) => `> ${line}`)],
    ['in a log, below a title and a date', `My workstation\nMon Oct 16 2023\n\n${REAL}`],
    [
      'in a log, after the command and before the prompt',
      `root@host:~# lspci -Dnnvvvxxx\npcilib: read failed\n${REAL}\nroot@host:~#`,
    ],
    ['in upper-case hex', editLines(REAL, (line) => (HEX_ROW.test(line) ? line.toUpperCase() : line))],
  ];
  const expected = partition(read('lambda-vector-wrx80-a.json'));
  test.each(forms)('%s', (_, text) => expect(partition(text)).toEqual(expected));

  test('and the facts of the fixture made from the same dump', () => {
    const fixture = importTopology(read('lambda-vector-wrx80-a.json'));
    const facts = (f: PciFunction) => [
      f.bdf,
      f.vendor,
      f.device,
      f.classCode,
      f.multifunction,
      f.buses,
      f.pcieType,
      f.driver,
    ];
    expect(importLspci(REAL).functions.map(facts)).toEqual(fixture.functions.map(facts));
    expect(importLspci(REAL).functions.map((f) => f.iommuGroup)).toEqual(fixture.functions.map((f) => f.iommuGroup));
  });
});

test('4096-byte dumps need no text at all: type, buses and ACS come from the bytes', () => {
  const fixture = importTopology(read('pciutils-asus-p6t6.json'));
  const hex = (value: number | null, digits: number): string => (value ?? 0).toString(16).padStart(digits, '0');
  const text = fixture.functions.flatMap((f) => {
    const head = `${f.bdf} ${hex((f.classCode ?? 0) >> 8, 4)}: ${hex(f.vendor, 4)}:${hex(f.device, 4)} (rev ${hex(f.revision, 2)})`;
    const bytes = [...(f.config ?? [])].map((byte) => hex(byte, 2));
    const rows = Array.from(
      { length: bytes.length / 16 },
      (_, row) => `${hex(row * 16, 2)}: ${bytes.slice(row * 16, row * 16 + 16).join(' ')}`,
    );
    return [head, ...rows, ''];
  });
  const imported = importLspci(text.join('\n'));
  const facts = (f: PciFunction) => [
    f.bdf,
    f.vendor,
    f.device,
    f.classCode,
    f.buses,
    f.pcieType,
    f.acs?.cap,
    f.acs?.ctrl,
  ];
  expect(imported.functions.filter((f) => f.acs !== null).length).toBeGreaterThan(0);
  expect(imported.functions.map(facts)).toEqual(fixture.functions.map(facts));
});

describe('what a device header tells', () => {
  const headers: [form: string, line: string, facts: Partial<PciFunction>][] = [
    [
      '-nn',
      '00:02.0 VGA compatible controller [0300]: Intel Corporation UHD [8086:9bc4] (rev 05) (prog-if 00 [VGA controller])',
      { vendor: 0x8086, device: 0x9bc4, classCode: 0x030000, revision: 5 },
    ],
    [
      '-nn with brackets in the name',
      '0000:0a:00.0 USB controller [0c03]: Advanced Micro Devices, Inc. [AMD] Device [1022:145c] (prog-if 30 [XHCI])',
      { bdf: '0000:0a:00.0', vendor: 0x1022, device: 0x145c, classCode: 0x0c0330 },
    ],
    ['-n', '00:1f.3 0c05: 8086:a123 (rev 31)', { vendor: 0x8086, device: 0xa123, classCode: 0x0c0500, revision: 0x31 }],
    ['-n of old pciutils', '00:1f.3 Class 0c05: 8086:a123', { vendor: 0x8086, device: 0xa123, classCode: 0x0c0500 }],
    [
      'names alone: a root port with a quirk',
      '00:1c.7 PCI bridge: Intel Corporation C610/X99 series chipset PCI Express Root Port #8 (rev d5)',
      { vendor: 0x8086, device: 0x8d1e },
    ],
    [
      'names alone: a port number that the chipset does not have',
      '00:1c.7 PCI bridge: Intel Corporation C610/X99 series chipset PCI Express Root Port #9',
      { device: null },
    ],
    [
      'names alone: a network card with a quirk',
      '01:00.0 Ethernet controller: Intel Corporation I350 Gigabit Network Connection (rev 01)',
      { device: 0x1521 },
    ],
    [
      'names alone: only what they tell',
      '00:1c.0 PCI bridge: Intel Corporation Device',
      { vendor: 0x8086, device: null, classCode: 0x060400, headerType: 1 },
    ],
    [
      'names alone: an unknown class and vendor',
      '00:05.0 Strange thing: Acme Corp. Widget',
      { vendor: null, device: null, classCode: null },
    ],
    [
      'a VMD domain',
      '10000:e0:06.0 PCI bridge [0604]: Intel Corporation Device [8086:9a09]',
      { bdf: '10000:e0:06.0', domain: 0x10000, bus: 0xe0 },
    ],
    ['an unknown class', '00:00.1 Class [0108]: Device [1de5:1000]', { vendor: 0x1de5, classCode: 0x010800 }],
  ];
  test.each(headers)('%s', (_, line, facts) => expect(only(line)).toMatchObject(facts));
});

describe('what detail lines tell', () => {
  const HEAD = '01:00.0 Ethernet controller [0200]: Intel Corporation Device [8086:1572]\n';
  const details: [what: string, lines: string, facts: Partial<PciFunction>][] = [
    ['subsystem by name', '\tSubsystem: Dell Device [1028:1f9c]', { subsystemVendor: 0x1028, subsystemDevice: 0x1f9c }],
    ['subsystem by number', '\tSubsystem: 1028:1f9c', { subsystemVendor: 0x1028, subsystemDevice: 0x1f9c }],
    [
      'NUMA node, slot, driver, group',
      '\tPhysical Slot: 7-2\n\tNUMA node: 1\n\tIOMMU group: 33\n\tKernel driver in use: vfio-pci',
      { physicalSlot: '7-2', numaNode: 1, iommuGroup: 33, driver: 'vfio-pci' },
    ],
    ['NUMA node -1 is unknown', '\tNUMA node: -1', { numaNode: null }],
    [
      'regions',
      '\tRegion 0: Memory at 90000000 (64-bit, prefetchable) [size=8M]\n\tRegion 2: I/O ports at e000 [disabled] [size=32]\n\tRegion 3: [virtual] Memory at <ignored> (32-bit, non-prefetchable)',
      {
        bars: [
          { index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 8388608, vf: false },
          { index: 2, kind: 'io', bits: null, prefetchable: null, size: 32, vf: false },
          { index: 3, kind: 'mem', bits: 32, prefetchable: false, size: null, vf: false },
        ],
      },
    ],
    ['Express type', '\tCapabilities: [a0] Express (v2) Endpoint, MSI 00', { pcieType: 'endpoint' }],
    [
      'Express type of old pciutils',
      '\tCapabilities: [a0] Express Legacy Endpoint IRQ 0',
      { pcieType: 'legacy_endpoint' },
    ],
    [
      'Express type of new pciutils',
      '\tCapabilities: [a0] Express (v2) Root Complex Integrated Endpoint, IntMsgNum 0',
      { pcieType: 'rciep' },
    ],
    [
      'Express to PCI bridge',
      '\tCapabilities: [a0] Express (v1) PCI-Express to PCI/PCI-X Bridge, MSI 00',
      { pcieType: 'pcie_to_pci_bridge' },
    ],
    [
      'PCI to Express bridge',
      '\tCapabilities: [a0] Express (v1) PCI/PCI-X to PCI-Express Bridge, MSI 00',
      { pcieType: 'pci_to_pcie_bridge' },
    ],
    [
      'ACS with its registers',
      '\tCapabilities: [150 v1] Access Control Services\n\t\tACSCap:\tSrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans+\n\t\tACSCtl:\tSrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd- EgressCtrl- DirectTrans-',
      { acs: { offset: 0x150, cap: 0x5d, ctrl: 0x0d, dwordCtrl: null, inferred: false } },
    ],
    [
      'ACS by presence alone',
      '\tCapabilities: [150] Access Control Services',
      { acs: { offset: 0x150, cap: null, ctrl: null, dwordCtrl: null, inferred: false } },
    ],
    [
      'ACS by number, as pciutils 3.0 printed it',
      '\tCapabilities: [150] #0d [0018]',
      { acs: { offset: 0x150, cap: null, ctrl: null, dwordCtrl: null, inferred: false } },
    ],
    [
      'SR-IOV',
      '\tCapabilities: [160 v1] Single Root I/O Virtualization (SR-IOV)\n\t\tInitial VFs: 64, Total VFs: 64, Number of VFs: 2, Function Dependency Link: 00\n\t\tVF offset: 16, stride: 1, Device ID: 154c\n\t\tRegion 0: Memory at 91000000 (64-bit, prefetchable) [size=64K]',
      {
        sriov: { initialVfs: 64, totalVfs: 64, numVfs: 2, offset: 16, stride: 1, vfDevice: 0x154c },
        bars: [{ index: 0, kind: 'mem', bits: 64, prefetchable: true, size: 65536, vf: true }],
      },
    ],
    ['lines of versions to come are passed over', '\tQuantumFlux: on\n\t\tFluxCap: 1.21GW', { vendor: 0x8086 }],
  ];
  test.each(details)('%s', (_, lines, facts) => expect(only(HEAD + lines)).toMatchObject(facts));
});

describe('what cannot be seen', () => {
  test('a function 0 is multifunction when the slot has another function that is no VF', () => {
    const text = '00:01.0 0604: 8086:1901\n00:01.1 0604: 8086:1905\n00:02.0 0300: 8086:3e92\n';
    expect(importLspci(text).functions.map((f) => f.multifunction)).toEqual([true, true, false]);
  });

  test('VFs are found by the requester ids of their PF, and by name; they are never multifunction', () => {
    const text = [
      '01:00.0 Ethernet controller [0200]: Intel Corporation Device [8086:1572]',
      '\tCapabilities: [160 v1] Single Root I/O Virtualization (SR-IOV)',
      '\t\tInitial VFs: 64, Total VFs: 64, Number of VFs: 2, Function Dependency Link: 00',
      '\t\tVF offset: 16, stride: 1, Device ID: 154c',
      '01:02.0 Ethernet controller [0200]: Intel Corporation Device [8086:154c]',
      '01:02.1 Ethernet controller [0200]: Intel Corporation Device [8086:154c]',
      '02:00.1 Ethernet controller [0200]: Intel Corporation X Virtual Function [8086:10ed]',
    ].join('\n');
    expect(importLspci(text).functions.map((f) => [f.isVf, f.vfOf, f.multifunction])).toEqual([
      [false, null, false],
      [true, '0000:01:00.0', false],
      [true, '0000:01:00.0', false],
      [true, null, false],
    ]);
  });

  const ROWS = (bytes: Uint8Array): string =>
    Array.from({ length: bytes.length / 16 }, (_, row) => {
      const cells = [...bytes.subarray(row * 16, row * 16 + 16)].map((byte) => byte.toString(16).padStart(2, '0'));
      return `${(row * 16).toString(16).padStart(2, '0')}: ${cells.join(' ')}`;
    }).join('\n');

  test('a VF keeps its printed ids: its bytes read ffff', () => {
    const bytes = new Uint8Array(64);
    bytes.set([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0, 2]);
    expect(only(`01:02.1 0200: 8086:154c\n${ROWS(bytes)}`)).toMatchObject({
      vendor: 0x8086,
      device: 0x154c,
      isVf: true,
    });
  });

  test('a device that is powered down (all ones) keeps its printed facts and counts as Express below a port', () => {
    const text = [
      '00:01.0 PCI bridge [0604]: Intel Corporation Device [8086:1901]',
      '\tBus: primary=00, secondary=01, subordinate=01, sec-latency=0',
      '\tCapabilities: [a0] Express (v2) Root Port (Slot+), MSI 00',
      '01:00.0 VGA compatible controller [0300]: NVIDIA Corporation Device [10de:1f91] (rev ff) (prog-if ff)',
      '\t!!! Unknown header type 7f',
      ROWS(new Uint8Array(64).fill(0xff)),
    ].join('\n');
    const gpu = importLspci(text).get('0000:01:00.0');
    expect(gpu).toMatchObject({ vendor: 0x10de, device: 0x1f91, headerType: 0, pcieType: 'endpoint', config: null });
  });

  test('without root, types follow from the bus tree, ACS counts as absent, and a warning says so', () => {
    const denied = '\tCapabilities: <access denied>';
    const deniedOld = '\tCapabilities: <available only to root>';
    const bus = (secondary: string, last: string) =>
      `\tBus: primary=00, secondary=${secondary}, subordinate=${last}, sec-latency=0`;
    const text = [
      ['00:01.0 0604: 8086:1901', bus('01', '04'), denied],
      ['01:00.0 0604: 10b5:8724', bus('02', '04'), denied],
      ['02:01.0 0604: 10b5:8724', bus('03', '03'), denied],
      ['02:02.0 0604: 10b5:8724', bus('04', '04'), denied],
      ['03:00.0 0200: 8086:1533', denied],
      ['00:1f.0 0601: 8086:a305'],
      [
        '00:1e.0 PCI bridge [0604]: Intel Corporation 82801 [8086:244e] (prog-if 01 [Subtractive decode])',
        bus('05', '06'),
        denied,
      ],
      ['05:00.0 0604: 1b21:1080', bus('06', '06'), denied],
      ['06:00.0 0200: 8086:100e', deniedOld],
    ]
      .flat()
      .join('\n');
    const topology = importLspci(text);
    expect(topology.functions.map((f) => [f.bdf.slice(5), f.pcieType])).toEqual([
      ['00:01.0', 'root_port'],
      ['00:1e.0', null],
      ['00:1f.0', null],
      ['01:00.0', 'upstream'],
      ['02:01.0', 'downstream'],
      ['02:02.0', 'downstream'],
      ['03:00.0', 'endpoint'],
      ['05:00.0', null],
      ['06:00.0', null],
    ]);
    expect(topology.warnings).toEqual([expect.stringMatching(/^6 bridge\(s\) do not show whether they have ACS/)]);
  });

  test('names without ids or bus numbers are taken with warnings', () => {
    const { warnings } = importLspci('00:00.0 Host bridge: Acme Thing\n00:01.0 PCI bridge: Acme Port\n');
    expect(warnings).toEqual([
      expect.stringMatching(/^1 bridge\(s\) do not show whether they have ACS/),
      expect.stringMatching(/^1 bridge\(s\) show no bus numbers/),
      expect.stringMatching(/^2 function\(s\) show no ids/),
    ]);
  });

  test('256 bytes hold the port type but no ACS: a warning says so', () => {
    const bytes = new Uint8Array(256);
    bytes.set([0x86, 0x80, 0x01, 0x19, 0, 0, 0x10, 0, 0, 0, 4, 6, 0, 0, 1]);
    bytes.set([0, 1, 1], 0x18);
    bytes[0x34] = 0x40;
    bytes.set([0x10, 0, 0x42], 0x40);
    const topology = importLspci(`00:01.0 0604: 8086:1901\n${ROWS(bytes)}`);
    expect(topology.functions[0]).toMatchObject({ pcieType: 'root_port', buses: { secondary: 1 }, acs: null });
    expect(topology.warnings).toEqual([expect.stringMatching(/^1 bridge\(s\) do not show whether they have ACS/)]);
  });

  test('as root, a function without capability lines has none', () => {
    const text =
      '00:01.0 0604: 8086:1901\n\tBus: primary=00, secondary=01, subordinate=01\n\tCapabilities: [a0] Express (v2) Root Port (Slot+), MSI 00\n00:1e.0 0604: 8086:244e\n\tBus: primary=00, secondary=02, subordinate=02';
    expect(importLspci(text).get('0000:00:1e.0')?.pcieType).toBeNull();
    expect(importLspci(text).warnings).toEqual([]);
  });
});
