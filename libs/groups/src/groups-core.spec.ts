import { readFileSync } from 'node:fs';
import { groupsApi, IOMMUFD, LAB, sysApi, type Machine } from '@vfiolab/core';
import { LIMITS as PCI_LIMITS } from '@vfiolab/pci';
import { fail, ok } from '@vfiolab/uapi';
import { GroupsCore } from './groups-core.js';
import { LIMITS } from './limits.js';
import { HOLD } from '../../core/src/testing/bench.js';
import { callsTo, CLIENT, files, groupsBench, sealedBench, SETUP, SMALL_MACHINE } from './testing/machines.js';

const load = (bench: ReturnType<typeof groupsBench>, part: number, text: string, from = LAB) =>
  bench.get(from, groupsApi.load, { part, text });

describe('making the host', () => {
  it('takes the description in pieces and answers how much there is', () => {
    const bench = groupsBench();
    load(bench, 0, SMALL_MACHINE.slice(0, 1000));
    load(bench, 1, SMALL_MACHINE.slice(1000));
    expect(bench.get(LAB, groupsApi.seal, SETUP)).toEqual({ error: '', functions: 14, groups: 8, powerpc: false });
  });

  it('tells the IOMMU of the functions with a group first, then binds vfio-pci where it was recorded', () => {
    const bench = groupsBench();
    load(bench, 0, SMALL_MACHINE);
    bench.get(LAB, groupsApi.seal, SETUP);
    expect(callsTo(bench)).toEqual([
      'iommu.configure',
      'iommu.setup',
      'device.probe 0000:00:03.0',
      'device.probe 0000:00:04.0',
      'device.probe 0000:00:04.1',
      'device.probe 0000:00:05.1',
    ]);
    const { functions } = bench.heard[1]!.args as { functions: { bdf: string; group: number }[] };
    expect(functions).toContainEqual({ bdf: '0000:00:03.0', group: 1 });
    expect(functions.map(({ bdf }) => bdf)).not.toContain('0000:00:02.0');
  });

  const errors: readonly (readonly [string, string, Partial<typeof SETUP>, RegExp])[] = [
    ['no description', '', {}, /Load the description of a machine first/],
    ['a description that is neither form', 'hello', {}, /^small: line 1: /],
    ['a broken field', SMALL_MACHINE.replace('"header_type":1', '"header_type":9'), {}, /functions\[7\]\.header_type/],
    [
      'an unknown profile',
      SMALL_MACHINE,
      { profile: '5.0' },
      /^profile "5.0" is not known. Use one of: 6.12, 7.2, 7.3/,
    ],
    ['an unknown IOMMU', SMALL_MACHINE, { iommu: 'mmu' }, /^iommu "mmu" is not known. Use one of: intel-vtd, /],
  ];
  it.each(errors)('an error says what and where, and makes nothing: %s', (_title, text, setup, words) => {
    const bench = groupsBench();
    if (text !== '') load(bench, 0, text);
    expect(bench.get(LAB, groupsApi.seal, { ...SETUP, ...setup }).error).toMatch(words);
    expect(bench.heard).toEqual([]);
    load(bench, 0, SMALL_MACHINE);
    expect(bench.get(LAB, groupsApi.seal, SETUP).error).toBe('');
  });

  it('a second host is refused, also while the first is being made', () => {
    const bench = groupsBench({ iommu: { setup: () => HOLD } });
    load(bench, 0, SMALL_MACHINE);
    const first = bench.ask(LAB, groupsApi.seal, SETUP);
    expect(bench.get(LAB, groupsApi.seal, SETUP).error).toMatch(/made already/);
    expect(load(bench, 0, 'x')).toEqual(fail('EBUSY'));
    expect(files(bench).resolve('/dev/iommu')).toBe('ENOENT');
    bench.answer('iommu.setup', undefined);
    expect(first.value?.error).toBe('');
    expect(bench.get(LAB, groupsApi.seal, SETUP).error).toMatch(/made already/);
    expect(load(bench, 0, 'x')).toEqual(fail('EBUSY'));
  });

  it('only the lab may load and seal', () => {
    const bench = groupsBench();
    expect(load(bench, 0, SMALL_MACHINE, IOMMUFD)).toEqual(fail('EPERM'));
    load(bench, 0, SMALL_MACHINE);
    expect(bench.get(IOMMUFD, groupsApi.seal, SETUP).error).toMatch(/Only the lab/);
    expect(bench.core.host).toBeUndefined();
  });

  it('pieces come in order, and piece 0 starts anew', () => {
    const bench = groupsBench();
    expect(load(bench, 1, 'x')).toEqual(fail('EINVAL'));
    load(bench, 0, 'garbage');
    expect(load(bench, 2, 'x')).toEqual(fail('EINVAL'));
    load(bench, 0, SMALL_MACHINE);
    expect(bench.get(LAB, groupsApi.seal, SETUP).error).toBe('');
  });

  it('pieces and characters are bounded', () => {
    const bench = groupsBench();
    for (let part = 0; part < LIMITS.pieces; part++) expect(load(bench, part, 'x').ok).toBe(true);
    expect(load(bench, LIMITS.pieces, 'x')).toEqual(fail('E2BIG'));
    const piece = 'x'.repeat(LIMITS.textLength / 16);
    for (let part = 0; part < 16; part++) expect(load(bench, part, piece).ok).toBe(true);
    expect(load(bench, 16, 'x')).toEqual(fail('E2BIG'));
  });

  it('the largest machine fits into one message to the IOMMU', () => {
    const functions = Array.from({ length: PCI_LIMITS.functions }, (_, i) => ({ bdf: address(i), header_type: 0 }));
    const text = JSON.stringify({ format: 'pci-topology-fixture/1', functions });
    let told = 0;
    const setup = ({ functions: all }: { functions: unknown[] }): void => void (told = all.length);
    sealedBench({ iommu: { setup } }, SETUP, text);
    expect(told).toBe(PCI_LIMITS.functions);
  });
});

const pad = (n: number): string => n.toString(16).padStart(2, '0');
/** In the domain with the longest name. */
const address = (i: number): string => `fffffff0:${pad(i >> 8)}:${pad((i >> 3) & 31)}.${i & 7}`;

it('clients may look at files, write to sysfs and change modes, nothing else', () => {
  const open = Object.entries(groupsApi).flatMap(([name, { clients }]) => (clients ? [name] : []));
  expect(open).toEqual(['resolve', 'sysfsWrite', 'sysfsRead', 'sysfsScan', 'readlink', 'listdir', 'stat', 'chmod']);
});

describe('cdev claims', () => {
  const claim = { bdf: '0000:00:03.0' };
  it.each([
    ['the device itself', 'device:0000:00:03_0', claim.bdf, ok(undefined)],
    ['another device', 'device:0000:00:04_0', claim.bdf, fail('EPERM')],
    ['iommufd', IOMMUFD, claim.bdf, fail('EPERM')],
    ['a device without vfio-pci', 'device:0000:00:05_0', '0000:00:05.0', fail('ENODEV')],
    ['a device that is not there', 'device:0000:00:1f_0', '0000:00:1f.0', fail('ENODEV')],
  ])('%s', (_who, from, bdf, answer) =>
    expect(sealedBench().get(from, groupsApi.cdevClaim, { bdf, vm: 0 })).toEqual(answer),
  );

  it('a release by somebody else, or without a claim, changes nothing', () => {
    const bench = sealedBench();
    const device = bench.core.host!.devices.get(claim.bdf)!;
    bench.get('device:0000:00:03_0', groupsApi.cdevRelease, claim);
    expect(device.cdevClaims).toBe(0);
    bench.get('device:0000:00:03_0', groupsApi.cdevClaim, claim);
    bench.get('device:0000:00:04_0', groupsApi.cdevRelease, claim);
    expect(device.cdevClaims).toBe(1);
    bench.get('device:0000:00:03_0', groupsApi.cdevRelease, claim);
    expect(device.cdevClaims).toBe(0);
  });
});

describe('the state', () => {
  function busy(): ReturnType<typeof sealedBench> {
    const bench = sealedBench();
    const fs = files(bench);
    fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', '0000:00:04.1');
    fs.write('/sys/bus/pci/devices/0000:02:01.0/driver_override', 'vfio-pci');
    fs.write('/sys/bus/pci/drivers/vfio-pci/bind', '0000:02:01.0');
    fs.write('/sys/bus/pci/drivers/pci-stub/new_id', 'abcd 1 2 3 4 5');
    bench.get(IOMMUFD, groupsApi.claimDma, { bdf: '0000:00:03.0', context: 7 });
    bench.get('device:0000:00:03_0', groupsApi.cdevClaim, { bdf: '0000:00:03.0', vm: 0 });
    return bench;
  }

  it.each([
    ['empty', () => groupsBench()],
    [
      'half loaded',
      () => {
        const bench = groupsBench();
        load(bench, 0, 'some');
        return bench;
      },
    ],
    ['sealed', () => sealedBench()],
    ['busy', busy],
  ])('a snapshot is read back to equal bytes, and means the same: %s', (_title, make) => {
    const bench = make();
    const fresh = new GroupsCore();
    const { before, after } = bench.reread(fresh);
    expect(after).toEqual(before);
    expect(fresh.describe()).toEqual(bench.core.describe());
    expect(fresh.check()).toEqual([]);
  });

  it('the meaning tells owners apart, but not their numbers or counts', () => {
    const meaning = (contexts: readonly number[]): string => {
      const bench = sealedBench();
      for (const context of contexts) bench.get(IOMMUFD, groupsApi.claimDma, { bdf: '0000:00:03.0', context });
      return bench.bytes('meaning').toString();
    };
    expect(meaning([1])).not.toBe(meaning([]));
    expect(meaning([2])).toBe(meaning([1]));
    expect(meaning([1, 1])).toBe(meaning([1]));
  });

  it('is described with one line a group and one a device', () => {
    const lines = busy().core.describe();
    expect(lines[0]).toBe('host small: kernel 6.12, iommu intel-vtd, 14 functions, 8 groups');
    expect(lines).toContain('group 1: owner iommufd context 7 (1)');
    expect(lines).toContain('  0000:00:03.0, vfio-pci, vfio0, 1 bound cdev');
    expect(lines).toContain('  0000:02:01.0, vfio-pci, vfio2, driver_override vfio-pci');
    expect(lines).toContain('no group: 0000:00:02.0, no driver');
    expect(groupsBench().core.describe()).toEqual(['no host']);
  });

  it('figures count what clients hold, and nothing else', () => {
    expect(sealedBench().core.figures()).toEqual({
      ownedGroups: 0,
      claims: 0,
      cdevClaims: 0,
      lingering: 0,
      files: 0,
      vms: 0,
    });
    expect(busy().core.figures()).toEqual({ ownedGroups: 1, claims: 1, cdevClaims: 1, lingering: 0, files: 0, vms: 0 });
    expect(groupsBench().core.figures()).toEqual({
      ownedGroups: 0,
      claims: 0,
      cdevClaims: 0,
      lingering: 0,
      files: 0,
      vms: 0,
    });
  });

  it('forgets a client when the lab says so, and only then', () => {
    const sessions = (machine: Machine): Map<string, unknown> =>
      (machine as unknown as { sessions: Map<string, unknown> }).sessions;
    const bench = sealedBench();
    files(bench).list('/sys');
    bench.get(IOMMUFD, sysApi.clientGone, { client: CLIENT });
    expect(sessions(bench.machine).has(CLIENT)).toBe(true);
    bench.get(LAB, sysApi.clientGone, { client: CLIENT });
    expect(sessions(bench.machine).has(CLIENT)).toBe(false);
  });
});

describe('a recorded workstation (lambda-vector-wrx80-a)', () => {
  const text = readFileSync(new URL('../../../test/machines/lambda-vector-wrx80-a.json', import.meta.url), 'utf8');
  const bench = sealedBench({}, { ...SETUP, machine: 'lambda', iommu: 'amd-vi' }, text);
  const fs = files(bench);
  const DEV = '/sys/bus/pci/devices';
  const [gpu, audio] = ['0000:41:00.0', '0000:41:00.1'];
  const toVfio = (bdf: string): (string | number | string[])[] => [
    fs.write(`${DEV}/${bdf}/driver/unbind`, bdf),
    fs.write(`${DEV}/${bdf}/driver_override`, 'vfio-pci'),
    fs.write('/sys/bus/pci/drivers_probe', bdf),
  ];

  it('passes a GPU through with its audio sibling, and not without', () => {
    const group = String(fs.readlink(`${DEV}/${gpu}/iommu_group`))
      .split('/')
      .at(-1)!;
    expect(fs.list(`/sys/kernel/iommu_groups/${group}/devices`)).toEqual([gpu, audio]);
    expect(fs.readlink(`${DEV}/${gpu}/driver`)).toBe('../../../../bus/pci/drivers/nvidia');
    const claim = { bdf: gpu, context: 1 };
    expect(toVfio(gpu)).toEqual([12, 8, 12]);
    expect(bench.get(IOMMUFD, groupsApi.claimDma, claim)).toEqual(fail('EPERM'));
    expect(toVfio(audio)).toEqual([12, 8, 12]);
    const claimed = { group: Number(group), members: [gpu, audio], noiommu: false };
    expect(bench.get(IOMMUFD, groupsApi.claimDma, claim)).toEqual(ok(claimed));
    expect(fs.list('/dev/vfio')).toEqual([group, 'devices', 'vfio']);
    expect(fs.resolve('/dev/vfio/devices/vfio1')).toBe('device:0000:41:00_1');
    expect(bench.core.check()).toEqual([]);
  });

  it('is read back from its snapshot', () => {
    const { before, after } = bench.reread(new GroupsCore());
    expect(after).toEqual(before);
  });
});
