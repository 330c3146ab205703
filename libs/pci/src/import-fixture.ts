/**
 * Import of machine descriptions in the form `pci-topology-fixture/1`: JSON, one object per function, made by hand or
 * by a script from a public dump. The field list is in test/machines/README.md.
 *
 * Rule: a field is checked when it is there and unknown when it is not; `pcie_type` absent means conventional PCI.
 */
import { formatBdf, parseBdf } from './bdf.js';
import { JsonReader } from './json-reader.js';
import { LIMITS } from './limits.js';
import { KERNEL_PROFILES } from './profile.js';
import { checkNetworks } from './networks.js';
import type {
  Acs,
  Bar,
  BridgeBuses,
  Capability,
  PciFunctionInit,
  PcieType,
  Sriov,
  VfTemplate,
} from './pci-function.js';
import { TopologyError } from './topology-error.js';
import { MACHINE_IOMMUS, Topology, type BridgeWindow, type IommuUnitFacts } from './topology.js';

const FORMAT = 'pci-topology-fixture/1';

const PCIE_TYPES: readonly (PcieType | 'conventional')[] = [
  'endpoint',
  'legacy_endpoint',
  'root_port',
  'upstream',
  'downstream',
  'pcie_to_pci_bridge',
  'pci_to_pcie_bridge',
  'rciep',
  'rcec',
  'conventional',
];

export function importFixture(text: string): Topology {
  if (text.length > LIMITS.textLength) {
    const what = `The text has ${text.length} characters; at most ${LIMITS.textLength} are accepted`;
    throw new TopologyError(what, { path: '$' }, 'Split the file by PCI domain.');
  }
  const file = JsonReader.parse(text);
  if (file.at('format').textOrNull() !== FORMAT) throw file.at('format').wrong(`"${FORMAT}"`);
  const functions = file.at('functions');
  if (functions.absent) throw functions.wrong('the PCI functions of the machine');
  const topology = new Topology({
    functions: functions.list(LIMITS.functions).map(readFunction),
    iommu: file.at('iommu').absent ? 'unknown' : (file.at('iommu').at('type').oneOfOrNull(MACHINE_IOMMUS) ?? 'unknown'),
    intelRciepAcs: file.at('quirks').absent || file.at('quirks').at('intel_rciep_acs').flagOr(true),
    unitOrder: readUnitOrder(file.at('expect')),
    probeOrder: file
      .at('probe_order')
      .list(LIMITS.functions)
      .flatMap((bdf) => readAddress(bdf) ?? []),
    hostBridges: new Map(file.at('host_bridges').list(LIMITS.functions).flatMap(readHostBridge)),
    bridgeWindows: new Map(file.at('host_bridges').list(LIMITS.functions).flatMap(readWindow('window'))),
    wideWindows: new Map(file.at('host_bridges').list(LIMITS.functions).flatMap(readWindow('wide_window'))),
    firmwareNames: new Map(file.at('host_bridges').list(LIMITS.functions).flatMap(readFirmwareName)),
    endpointCounts: new Map(file.at('host_bridges').list(LIMITS.functions).flatMap(readEndpointCount)),
    memoryMaps: readMemoryMaps(file.at('memory_map')),
    vdpaDevices: readVdpas(file.at('vdpa_devices')),
    iommuUnits: file.at('iommu_units').list(LIMITS.iommuUnits).map(readUnit),
  });
  checkNetworks(topology);
  return topology;
}

/** Lines of /proc/iomem by kernel release: the same machine shows other addresses of the kernel itself. */
function readMemoryMaps(maps: JsonReader): Map<string, string[]> {
  if (maps.absent) return new Map();
  const given = KERNEL_PROFILES.filter((profile) => !maps.at(profile).absent);
  return new Map(
    given.map((profile) => [
      profile,
      maps
        .at(profile)
        .list(LIMITS.memoryMap)
        .map((line) => line.text()),
    ]),
  );
}

const readUnit = (unit: JsonReader): IommuUnitFacts => ({
  functions: unit
    .at('functions')
    .list(LIMITS.functions)
    .map((start) => start.text()),
  domainIds: unit.at('domain_ids').numberOrNull(1, 65536) ?? 0,
  snoopControl: unit.at('snoop_control').flagOr(true),
});
const VDPA_NAME = /^vdpa(0|[1-9][0-9]{0,3})$/;

function readVdpas(names: JsonReader): string[] {
  const given = names.list(LIMITS.vdpaDevices).map((name) => {
    if (!VDPA_NAME.test(name.text())) throw name.wrong('vdpa and a number');
    return name.text();
  });
  if (new Set(given).size !== given.length) throw names.wrong('names that differ');
  return given;
}

const SYSFS_PATH = /^[\w.:@-]+(\/[\w.:@-]+)*$/;

const domainOf = (bridge: JsonReader): number => bridge.at('domain').number(0, 0xffff);

function readHostBridge(bridge: JsonReader): [number, string][] {
  const field = bridge.at('parent');
  if (field.absent) return [];
  const parent = field.text();
  if (!SYSFS_PATH.test(parent)) throw field.wrong('a path below /sys/devices');
  return [[domainOf(bridge), parent]];
}

const FIRMWARE_NAME = /^[\w.,+-]+@[0-9a-f]+$/;

function readFirmwareName(bridge: JsonReader): [number, string][] {
  const field = bridge.at('firmware');
  if (field.absent) return [];
  const name = field.text();
  if (!FIRMWARE_NAME.test(name)) throw field.wrong('a name, @ and an address in hexadecimal');
  return [[domainOf(bridge), name]];
}

const readWindow =
  (field: 'window' | 'wide_window') =>
  (bridge: JsonReader): [number, BridgeWindow][] => {
    const window = bridge.at(field);
    if (window.absent) return [];
    const [bus, cpu, size] = (['bus', 'cpu', 'size'] as const).map((name) => readU64(window.at(name)));
    return [[domainOf(bridge), { bus: bus!, cpu: cpu!, size: size! }]];
  };

function readEndpointCount(bridge: JsonReader): [number, number][] {
  const count = bridge.at('endpoints').numberOrNull(4, 0xffff);
  return count === null ? [] : [[domainOf(bridge), count]];
}

function readU64(field: JsonReader): bigint {
  const text = field.text();
  if (!/^0x[0-9a-f]{1,16}$/i.test(text)) throw field.wrong('a number of 64 bits in hexadecimal');
  return BigInt(text);
}

function readUnitOrder(expect: JsonReader): string[] {
  if (expect.absent) return [];
  return expect
    .at('iommu_unit_order_from_ids')
    .list(256)
    .map((unit) => unit.text());
}

function readFunction(f: JsonReader): PciFunctionInit {
  const type = f.at('pcie_type').oneOfOrNull(PCIE_TYPES);
  const classCode = f.at('class').hexOrNull(6);
  const vfOf = readAddress(f.at('vf_of'));
  return {
    bdf: f.at('bdf').text(),
    origin: { path: f.path },
    vendor: f.at('vendor').hexOrNull(4),
    device: f.at('device').hexOrNull(4),
    classCode,
    revision: f.at('revision').hexOrNull(2),
    subsystemVendor: f.at('subsystem_vendor').hexOrNull(4),
    subsystemDevice: f.at('subsystem_device').hexOrNull(4),
    headerType: headerTypeOf(f, classCode),
    multifunction: f.at('multifunction').flagOr(false),
    buses: readBuses(f),
    pcieType: type === 'conventional' ? null : type,
    acs: readAcs(f.at('acs')),
    sriov: readSriov(f.at('sriov')),
    vfTemplate: readVfTemplate(f.at('vf')),
    isVf: vfOf !== null,
    vfOf,
    numaNode: f.at('numa_node').numberOrNull(0, 1023),
    physicalSlot: f.at('physical_slot').textOrNull(),
    driver: f.at('driver').textOrNull(),
    iommuGroup: f.at('iommu_group').numberOrNull(0, 999_999),
    bars: f.at('bars').list(LIMITS.bars).map(readBar),
    caps: [...f.at('caps').list(LIMITS.capabilities).map(readCap), ...extendedIds(f)],
    config: readConfig(f.at('config')),
    model: f.at('model').textOrNull(),
    network: readNetwork(f.at('network')),
    opregion: readOpregion(f.at('opregion')),
    losesLink: f.at('loses_link').flagOr(false),
    unknownToIommu: f.at('unknown_to_iommu').flagOr(false),
  };
}

const NETWORK = /^[\w.-]{1,32}$/;

function readNetwork(field: JsonReader): string | null {
  const name = field.textOrNull();
  if (name !== null && !NETWORK.test(name)) throw field.wrong('a name of 1 to 32 letters, digits, dots and dashes');
  return name;
}

/** A BDF in its one spelling; null when absent. */
function readAddress(field: JsonReader): string | null {
  if (field.absent) return null;
  const address = parseBdf(field.text());
  if (!address) throw field.wrong('a PCI address dddd:bb:dd.f');
  return formatBdf(address);
}

function headerTypeOf(f: JsonReader, classCode: number | null): 0 | 1 | 2 {
  const given = f.at('header_type').numberOrNull(0, 2);
  if (given !== null) return given as 0 | 1 | 2;
  return classCode !== null && classCode >> 8 === 0x0604 ? 1 : 0;
}

function readBuses(f: JsonReader): BridgeBuses | null {
  if (f.at('secondary_bus').absent) return null;
  const secondary = f.at('secondary_bus').number(0, 255);
  return {
    primary: f.at('primary_bus').numberOrNull(0, 255),
    secondary,
    subordinate: f.at('subordinate_bus').numberOrNull(0, 255) ?? secondary,
  };
}

function readAcs(acs: JsonReader): Acs | null {
  if (acs.absent) return null;
  return {
    offset: acs.at('offset').numberOrNull(0, 4095),
    cap: acs.at('cap').numberOrNull(0, 0xffff),
    ctrl: acs.at('ctrl').numberOrNull(0, 0xffff),
    dwordCtrl: acs.at('dword_ctrl').numberOrNull(0, 0xffffffff),
    inferred: acs.at('inferred').flagOr(false),
  };
}

function readSriov(sriov: JsonReader): Sriov | null {
  if (sriov.absent) return null;
  return {
    initialVfs: sriov.at('initial').number(0, 0xffff),
    totalVfs: sriov.at('total').number(0, 0xffff),
    numVfs: sriov.at('num').number(0, 0xffff),
    offset: sriov.at('offset').number(0, 0xffff),
    stride: sriov.at('stride').number(0, 0xffff),
    vfDevice: sriov.at('vf_device').hexOrNull(4),
  };
}

const readVfTemplate = (vf: JsonReader): VfTemplate | null =>
  vf.absent ? null : { config: readConfig(vf.at('config')), driver: vf.at('driver').textOrNull() };

function readBar(bar: JsonReader): Bar {
  const kind = bar.at('kind').oneOfOrNull(['mem', 'io'] as const);
  if (kind === null) throw bar.at('kind').wrong('mem or io');
  const bits = bar.at('bits').numberOrNull(32, 64);
  if (bits !== null && bits !== 32 && bits !== 64) throw bar.at('bits').wrong('32 or 64');
  return {
    index: bar.at('index').number(0, 6),
    kind,
    bits,
    prefetchable: bar.at('prefetchable').absent ? null : bar.at('prefetchable').flagOr(false),
    size: bar.at('size').numberOrNull(0, Number.MAX_SAFE_INTEGER),
    vf: bar.at('vf').flagOr(false),
    ...(bar.at('address').absent ? {} : { address: readU64(bar.at('address')) }),
  };
}

/** `"60 Express (v2) Endpoint"`: offset in hex, then the printed name. */
function readCap(cap: JsonReader): Capability {
  const match = /^([0-9a-f]{2,3}) (.*)$/i.exec(cap.text());
  if (!match) throw cap.wrong('an offset in hex, a space and a name');
  const offset = parseInt(match[1] ?? '', 16);
  return { offset, id: null, extended: offset >= 0x100, name: match[2] ?? '' };
}

const extendedIds = (f: JsonReader): Capability[] =>
  f
    .at('ext_caps')
    .list(LIMITS.capabilities)
    .map((id) => ({ offset: null, id: id.hexOrNull(4), extended: true, name: null }));

const readConfig = (config: JsonReader): Uint8Array | null =>
  readHex(config, (bytes) => [64, 128, 256, LIMITS.configBytes].includes(bytes), '64, 128, 256 or 4096 bytes in hex');

const OPREGION_BYTES = 8192;

const readOpregion = (opregion: JsonReader): Uint8Array | null =>
  readHex(
    opregion,
    (bytes) => Number.isInteger(bytes) && bytes >= OPREGION_BYTES && bytes <= LIMITS.opregionBytes,
    `${OPREGION_BYTES} to ${LIMITS.opregionBytes} bytes in hex`,
  );

/** Lower- or upper-case hex, two digits a byte, no separators. */
function readHex(field: JsonReader, fits: (bytes: number) => boolean, expected: string): Uint8Array | null {
  const text = field.textOrNull();
  if (text === null) return null;
  const bytes = text.length / 2;
  if (!fits(bytes) || !/^[0-9a-f]*$/i.test(text)) throw field.wrong(expected);
  return Uint8Array.from({ length: bytes }, (_, index) => parseInt(text.slice(index * 2, index * 2 + 2), 16));
}
