/** Whatever a fault plan does to the bus and the services: the same answers, the same state, and nothing is left. */
import { fileURLToPath } from 'node:url';
import type { RawRule, RawRules } from '@vfiolab/core';
import { readScenario, readScenarioFile, type Scenario } from '@vfiolab/scenario';
import { simulate, type SimResult } from './index.js';

const fileOf = (name: string): string => fileURLToPath(new URL(`../../cli/scenarios/${name}`, import.meta.url));

const PROGRAM = `
vfiolab: scenario/1
title: a device reads memory
host: { machine: lambda-vector-wrx80-a, memory: 1GiB }
steps:
  - sysfs_write: { path: /sys/bus/pci/drivers/nvidia/unbind, data: '0000:41:00.0' }
  - sysfs_write: { path: /sys/bus/pci/drivers/snd_hda_intel/unbind, data: '0000:41:00.1' }
  - sysfs_write: { path: '/sys/bus/pci/devices/0000:41:00.0/driver_override', data: vfio-pci }
  - sysfs_write: { path: '/sys/bus/pci/devices/0000:41:00.1/driver_override', data: vfio-pci }
  - sysfs_write: { path: /sys/bus/pci/drivers_probe, data: '0000:41:00.0' }
  - sysfs_write: { path: /sys/bus/pci/drivers_probe, data: '0000:41:00.1' }
  - { open: { path: /dev/iommu }, as: iommufd }
  - { open: { path: '/dev/vfio/devices/{cdev:0000:41:00.0}' }, as: gpu }
  - ioctl: { fd: $gpu, name: VFIO_DEVICE_BIND_IOMMUFD, in: { iommufd: $iommufd } }
  - { ioctl: { fd: $iommufd, name: IOMMU_IOAS_ALLOC }, bind: { out_ioas_id: ioas } }
  - ioctl: { fd: $gpu, name: VFIO_DEVICE_ATTACH_IOMMUFD_PT, in: { pt_id: $ioas } }
  - { mmap: { length: 1MiB }, as: buffer }
  - ioctl:
      fd: $iommufd
      name: IOMMU_IOAS_MAP
      in: { flags: 7, ioas_id: $ioas, user_va: $buffer, length: 1MiB, iova: 0x200000 }
  - pwrite: { fd: $gpu, region: config, at: 4, u16: 0x0007 }
  - write: { at: $buffer, text: 'seen by the device' }
  - pwrite: { fd: $gpu, region: bar0, at: 0x80, u64: 0x200000 }
  - pwrite: { fd: $gpu, region: bar0, at: 0x88, u64: 0x40000 }
  - pwrite: { fd: $gpu, region: bar0, at: 0x90, u64: 18 }
  - pwrite: { fd: $gpu, region: bar0, at: 0x98, u64: 1 }
  - ioctl: { fd: $iommufd, name: IOMMU_IOAS_UNMAP, in: { ioas_id: $ioas, iova: 0x200000, length: 1MiB } }
    expect: { out: { length: 1MiB } }
  - close: { fd: $gpu }
  - close: { fd: $iommufd }
  - check: { figures: { pages.pins: 0, pages.stores: 0, iommu.domains: 0, iommufd.contexts: 0 }, invariants: hold }
`;
const program = readScenario(PROGRAM, fileOf('program.yaml'));
const under = (faults: RawRules, seed = 0, scenario: Scenario = program): Promise<SimResult> =>
  simulate({ ...scenario, faults }, { seed });

const verdict = ({ scenario, end }: SimResult): unknown => ({
  failure: scenario.failure,
  broken: end.broken,
  answers: scenario.transcript.map(({ call, answer }) => [call, answer]),
  states: end.actors.map(({ address, stateHash }) => [address, stateHash]),
});

let calm: unknown;
beforeAll(async () => (calm = verdict(await under({}))));

const ENDS = ['groups', 'pages', 'iommu', 'iommufd', 'lab', 'device:0000:41:00.0'];
const WHATS: Record<string, (end: string) => RawRule> = {
  'lost on the way to': (to) => ({ drop: 'messages', to, nth: 2, times: 3 }),
  'lost on the way from': (from) => ({ drop: 'messages', from, every: 4, times: 3 }),
  'late for': (to) => ({ delay: 'messages', to, by: '90ms', every: 2 }),
  'twice for': (to) => ({ repeat: 'messages', to, by: '70ms' }),
  'held before': (to) => ({ hold: 'messages', to, times: 5, for: '900ms' }),
  'a partition around': (end) => ({ partition: end, for: '400ms' }),
  'a crash at a request of': (crash) => ({ crash, at: 'requests', nth: 2, times: 2, for: '50ms' }),
  'a crash at an answer of': (crash) => ({ crash, at: 'answers', times: 2, for: '50ms' }),
  'a pause of': (pause) => ({ pause, at: 'requests', for: '300ms' }),
  'a full disk of': (target) => ({ 'fill-disk': target, at: 'requests', for: '300ms' }),
};

describe.each(Object.keys(WHATS))('%s', (what) => {
  test.each(ENDS)('%s', async (end) => {
    const run = await under({ it: WHATS[what]!(end) });
    expect(verdict(run)).toEqual(calm);
    expect(run.scenario.faults[0]!.fired).toBeGreaterThan(0);
  });
});

test.each<[string, RawRule]>([
  ['a link', { drop: 'requests', from: 'iommufd', to: 'iommu', times: 3 }],
  ['a message', { delay: 'requests', of: 'pages.storeCreate', by: '500ms' }],
  ['answers to a message', { drop: 'answers', of: 'pages.storeCreate', times: 2 }],
  ['an ioctl', { drop: 'requests', of: 'IOMMU_IOAS_MAP', times: 2 }],
  ['answers to an ioctl', { hold: 'answers', of: 'IOMMU_IOAS_UNMAP', to: 'client:main', times: 2, for: '2s' }],
  ['a client', { repeat: 'messages', from: 'client', by: '40ms' }],
  ['a window of time', { drop: 'messages', after: '210ms', for: '200ms' }],
  ['a service, when its time has come', { crash: 'iommufd', after: '5ms', for: '20ms' }],
])('where: %s', async (_what, rule) => {
  const run = await under({ it: rule });
  expect(verdict(run)).toEqual(calm);
  expect(run.scenario.faults[0]!.fired).toBeGreaterThan(0);
});

test.each<[string, string, string, number]>([
  ['pages.storeCreate', 'ENOMEM', 'IOMMU_IOAS_MAP', 0],
  ['iommu.domainAlloc', 'ENOMEM', 'VFIO_DEVICE_ATTACH_IOMMUFD_PT', 0],
  ['IOMMU_IOAS_MAP', 'EINTR', 'IOMMU_IOAS_MAP', 0],
  ['IOMMU_IOAS_MAP', 'EINTR', 'IOMMU_IOAS_MAP', 7],
])('%s refused with %s: %s fails, and nothing is left of it', async (of, errno, ioctl, seed) => {
  const lines = PROGRAM.split('\n');
  const at = lines.findIndex((line) => line.includes(`name: ${ioctl}`));
  const begins = lines.findLastIndex((line, i) => i <= at && line.startsWith('  - '));
  const ends = lines.findIndex((line, i) => i > begins && line.startsWith('  - '));
  const step = lines.slice(begins, ends);
  // The same call again succeeds.
  const text = [...lines.slice(0, begins), ...step, `    expect: { errno: ${errno} }`, ...lines.slice(begins)].join(
    '\n',
  );
  const scenario = readScenario(text, fileOf('program.yaml'));
  const run = await under({ it: { refuse: 'requests', of, with: errno } }, seed, scenario);
  expect([run.scenario.failure, run.end.broken]).toEqual([undefined, []]);
  expect(run.scenario.faults).toMatchObject([{ fired: 1 }]);
  expect(run.end.actors.find(({ address }) => address === 'pages')!.stateHash).toBe(
    (await under({})).end.actors.find(({ address }) => address === 'pages')!.stateHash,
  );
});

test('a plan and a seed at once: still the same', async () => {
  const faults = { lag: WHATS['late for']!('iommu'), dies: WHATS['a crash at an answer of']!('pages') };
  for (let seed = 1; seed <= 4; seed++) {
    expect(verdict(await under(faults, seed))).toEqual(calm);
  }
});

test('the example: a card stuck in reset, an IOMMU that lags, a bus in parts', async () => {
  const scenario = readScenarioFile(fileOf('gpu-stuck.yaml'));
  const run = await simulate(scenario, { seed: 0 });
  expect([run.scenario.failure, run.end.broken]).toEqual([undefined, []]);
  for (let seed = 1; seed <= 3; seed++) expect(verdict(await simulate(scenario, { seed }))).toEqual(verdict(run));
});
