/** Files of a function's directory: which are there, and what they say. */
import { PE_DMA, PE_IO } from '@vfiolab/core';
import { files, sealedBench, SETUP, SMALL_MACHINE } from './testing/machines.js';

const DEV = '/sys/bus/pci/devices';
const EDU = '0000:00:03.0';
const CARD = '0000:01:00.0';
const fs = files(sealedBench());
const ALL = [
  ...['ari_enabled', 'broken_parity_status', 'class', 'config', 'consistent_dma_mask_bits', 'device', 'dma_mask_bits'],
  ...['driver_override', 'enable', 'irq', 'link', 'local_cpulist', 'local_cpus', 'modalias', 'msi_bus', 'numa_node'],
  ...['power', 'power_state', 'resource', 'revision', 'subsystem', 'subsystem_device', 'subsystem_vendor', 'uevent'],
  'vendor',
];
const names = (more: string[]): string[] => [...ALL, ...more].sort();

describe('which files there are (trace p001)', () => {
  it('a conventional function of a PC that vfio-pci has', () =>
    expect(fs.list(`${DEV}/${EDU}`)).toEqual(
      names(['d3cold_allowed', 'driver', 'iommu', 'iommu_group', 'remove', 'rescan', 'vfio-dev']),
    ));

  it('a PCI Express function has its link and its windows, and can be reset', () => {
    const link = ['current_link_speed', 'current_link_width', 'max_link_speed', 'max_link_width'];
    const windows = ['resource0', 'resource0_wc', 'resource2'];
    const rest = ['d3cold_allowed', 'driver', 'iommu', 'iommu_group', 'remove', 'rescan', 'reset', 'reset_method'];
    expect(fs.list(`${DEV}/${CARD}`)).toEqual(names([...link, ...windows, ...rest]));
  });

  it('a VF can neither be removed nor scanned', () => {
    const here = fs.list(`${DEV}/0000:00:07.1`) as string[];
    expect(['remove', 'rescan', 'physfn'].map((name) => here.includes(name))).toEqual([false, false, true]);
  });

  it('windows can be mapped, and not read', () => expect(fs.read(`${DEV}/${CARD}/resource0`)).toBe('EACCES'));
});

describe('what they say', () => {
  it.each([
    ['bits of what no driver has had', EDU, 'dma_mask_bits', '32\n'],
    ['bits of what an ordinary driver has', CARD, 'consistent_dma_mask_bits', '64\n'],
    ['nobody has it open', EDU, 'enable', '0\n'],
    ['an ordinary driver has it', CARD, 'enable', '1\n'],
    ['a bridge of one that is', '0000:00:06.0', 'enable', '1\n'],
    ['a bridge of none that is', '0000:00:09.0', 'enable', '0\n'],
    ['it cannot sleep', EDU, 'power_state', 'D0\n'],
    ['no driver woke it', '0000:02:01.0', 'power_state', 'unknown\n'],
    ['vfio-pci lets it sleep', EDU, 'power/control', 'auto\n'],
    ['no config space is known', CARD, 'current_link_speed', 'Unknown\n'],
    ['buses behind a bridge', '0000:00:09.0', 'secondary_bus_number', '2\n'],
    ['buses of no bridge', EDU, 'secondary_bus_number', 'ENOENT'],
    ['no device tree', EDU, 'devspec', 'ENOENT'],
    [
      'an event',
      CARD,
      'uevent',
      'DRIVER=e1000e\nPCI_CLASS=20000\nPCI_ID=8086:10D3\nPCI_SUBSYS_ID=0000:0000\nPCI_SLOT_NAME=0000:01:00.0\n' +
        'MODALIAS=pci:v00008086d000010D3sv00000000sd00000000bc02sc00i00\n',
    ],
  ])('%s: %s/%s', (_title, bdf, name, text) => expect(fs.read(`${DEV}/${bdf}/${name}`)).toBe(text));

  it('the mask stays when vfio-pci gets what an ordinary driver had', () => {
    const b = files(sealedBench());
    b.write('/sys/bus/pci/drivers/e1000e/unbind', CARD);
    expect([b.read(`${DEV}/${CARD}/enable`), b.read(`${DEV}/${CARD}/dma_mask_bits`)]).toEqual(['0\n', '64\n']);
  });

  it('speeds are those of the capability: of one that names them all, and of an old one', () => {
    const at = (cap2: number, cap: number) => {
      const config = new Uint8Array(256);
      const view = new DataView(config.buffer);
      view.setUint32(0, 0x10d38086, true);
      [config[6], config[0x34], config[0x40]] = [0x10, 0x40, 0x10];
      view.setUint32(0x4c, cap, true);
      view.setUint16(0x52, 0x41, true);
      view.setUint32(0x6c, cap2, true);
      const b = files(sealedBench({}, SETUP, machine({ config: Buffer.from(config).toString('hex') })));
      const read = (name: string) => b.read(`${DEV}/${CARD}/${name}`);
      return [read('max_link_speed'), read('max_link_width'), read('current_link_speed'), read('current_link_width')];
    };
    const now = ['2.5 GT/s PCIe\n', '4\n'];
    expect(at(0x1e, 0x103)).toEqual(['16.0 GT/s PCIe\n', '16\n', ...now]);
    expect(at(0, 0x82)).toEqual(['5.0 GT/s PCIe\n', '8\n', ...now]);
    expect(at(0, 0x83)).toEqual(['Unknown\n', '8\n', ...now]);
  });
});

/** The card is another. */
function machine(card: object, more: object = {}): string {
  const small = JSON.parse(SMALL_MACHINE) as { functions: { bdf: string }[] };
  const functions = small.functions.map((each) => (each.bdf === CARD ? { ...each, ...card } : each));
  return JSON.stringify({ ...small, ...more, functions });
}

describe('POWER (trace p001)', () => {
  const on = (iommu: string, answers = {}, host_bridges = [{ domain: 0, firmware: 'pciex@600c' }]) =>
    files(sealedBench(answers, { ...SETUP, iommu }, machine({ pcie_type: 'endpoint' }, { host_bridges })));

  it.each([
    ['ppc64-pnv', '0000:00:05.1', '/pciex@600c/device@5,1\n'],
    ['ppc64-pnv', CARD, '/pciex@600c/pci@6/ethernet@0\n'],
    ['ppc64-pnv', '0000:00:00.0', '/pciex@600c/host@0\n'],
    ['ppc64-pnv', '0000:00:05.0', '/pciex@600c/mass-storage@5\n'],
    ['ppc64-pseries', '0000:00:03.0', '/pciex@600c/legacy-device@3\n'],
    ['ppc64-pseries', '0000:00:07.1', ''],
  ])('%s: devspec of %s', (iommu, bdf, text) => expect(on(iommu).read(`${DEV}/${bdf}/devspec`)).toBe(text));

  it('of_node leads to the node, and nowhere when nobody knows its path', () => {
    const target = '../../../../firmware/devicetree/base/pciex@600c/pci@6/ethernet@0';
    expect(on('ppc64-pnv').readlink(`${DEV}/${CARD}/of_node`)).toBe(target);
    expect(on('ppc64-pnv').list(`${DEV}/${CARD}/of_node`)).toContain('class-code');
    expect(on('ppc64-pnv', {}, []).read(`${DEV}/${CARD}/devspec`)).toBe('');
    expect(on('ppc64-pnv', {}, []).readlink(`${DEV}/${CARD}/of_node`)).toBe('ENOENT');
  });

  it('errors are handled on bare metal: ports are in the PEs of their buses', () => {
    const fs = on('ppc64-pnv');
    const all = (bdf: string) =>
      ['eeh_mode', 'eeh_pe_config_addr', 'eeh_pe_state'].map((name) => fs.read(`${DEV}/${bdf}/${name}`));
    const active = '0x00000078 0x00000800\n';
    expect(all('0000:00:06.0')).toEqual(['0x203\n', '0x1fe\n', active]);
    expect(all('0000:00:09.0').slice(0, 2)).toEqual(['0x201\n', '0x1fe\n']);
    expect(fs.read(`${DEV}/${EDU}/eeh_mode`)).toBe('0x200\n');
    expect(on('ppc64-pseries').read(`${DEV}/${EDU}/eeh_mode`)).toBe('ENOENT');
  });

  it('a frozen PE says so', () => {
    const state = (frozen: number) =>
      on('ppc64-pnv-full', { iommu: { endpointOp: () => frozen } }).read(`${DEV}/${CARD}/eeh_pe_state`);
    expect([0, PE_IO | PE_DMA, PE_DMA].map(state)).toEqual([
      '0x00000078 0x00000800\n',
      '0x00000000 0x00000800\n',
      '0x00000028 0x00000800\n',
    ]);
  });

  it('firmware manages the ports of bare metal: nothing drives them, whatever drove them when they were recorded', () => {
    const recorded = SMALL_MACHINE.replace('"bdf":"0000:00:06.0"', '"driver":"pcieport",$&');
    const moved = files(sealedBench({}, { ...SETUP, iommu: 'ppc64-pnv' }, recorded));
    expect(moved.readlink(`${DEV}/0000:00:06.0/driver`)).toBe('ENOENT');
    expect(on('ppc64-pnv').list('/sys/bus/pci/drivers')).not.toContain('pcieport');
    expect(on('ppc64-pnv').readlink(`${DEV}/0000:00:06.0/driver`)).toBe('ENOENT');
    expect(on('ppc64-pseries').readlink(`${DEV}/0000:00:06.0/driver`)).toContain('pcieport');
  });

  it('the platform has the first misc numbers, and its own switches and modules', () => {
    const fs = on('ppc64-pseries');
    expect(fs.stat('/dev/iommu')).toMatchObject({ minor: 258 });
    expect(fs.read('/proc/misc')).toBe(
      '259 cpu_dma_latency\n196 vfio\n258 iommu\n183 hw_random\n257 papr-sysparm\n256 vga_arbiter\n',
    );
    expect(fs.list('/sys/kernel/debug/powerpc')).toContain('hpt_order');
    expect(on('ppc64-pnv').list('/sys/kernel/debug/powerpc')).toContain('PCI0000');
    expect(fs.read('/sys/kernel/debug/powerpc/eeh_enable')).toBe('0x0\n');
    expect(fs.list('/sys/module')).toContain('vfio_iommu_spapr_tce');
    expect(fs.list('/sys/module')).not.toContain('vfio_iommu_type1');
  });
});

describe('ways to reset a function', () => {
  const both = [{ bdf: '0000:01:00.1', class: '0x020000', header_type: 0, multifunction: true, pcie_type: 'endpoint' }];
  const small = JSON.parse(machine({ multifunction: true })) as { functions: object[] };
  const crowded = JSON.stringify({ ...small, functions: [...small.functions, ...both] });

  it('only the first function of a bus was alone when it was found (trace p001)', () => {
    const b = files(sealedBench({}, SETUP, crowded));
    const read = (bdf: string) => b.read(`${DEV}/${bdf}/reset_method`);
    expect([read(CARD), read('0000:01:00.1'), read('0000:02:01.0'), read('0000:02:02.0')]).toEqual([
      'flr bus\n',
      'flr\n',
      'bus\n',
      'ENOENT',
    ]);
  });

  it('what it was found with does not work when others are there', () => {
    const b = files(sealedBench({}, SETUP, crowded));
    expect(b.write(`${DEV}/0000:02:01.0/reset`, '1')).toBe('ENOTTY');
    expect(b.write(`${DEV}/${CARD}/reset`, '1')).toBe(1);
    b.write(`${DEV}/${CARD}/reset_method`, 'bus');
    expect(b.write(`${DEV}/${CARD}/reset`, '1')).toBe('ENOTTY');
  });
});
