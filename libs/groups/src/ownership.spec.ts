import { BLOCKING, groupsApi, IOMMUFD, KERNEL } from '@vfiolab/core';
import { fail } from '@vfiolab/uapi';
import { brokenInvariants } from './invariants.js';
import { HOLD } from '../../core/src/testing/bench.js';
import { callsTo, CLIENT, files, sealedBench, SETUP } from './testing/machines.js';

type Act = readonly ['claim' | 'release', bdf: string, context: number, answer?: string];
const GRANTED = 'granted';

function act(bench: ReturnType<typeof sealedBench>, [what, bdf, context]: Act): string | undefined {
  const args = { bdf: `0000:${bdf}`, context };
  if (what === 'release') return void bench.get(IOMMUFD, groupsApi.releaseDma, args);
  const claimed = bench.get(IOMMUFD, groupsApi.claimDma, args);
  return claimed.ok ? GRANTED : claimed.errno;
}

const programs: Record<string, Act[]> = {
  'all devices of a group go to one context, never to two (A2.4, b014)': [
    ['claim', '00:04.0', 1, GRANTED],
    ['claim', '00:04.1', 2, 'EPERM'],
    ['claim', '00:04.1', 1, GRANTED],
    ['release', '00:04.0', 1],
    ['claim', '00:04.0', 2, 'EPERM'],
    ['release', '00:04.1', 1],
    ['claim', '00:04.0', 2, GRANTED],
  ],
  'groups are owned apart': [
    ['claim', '00:03.0', 1, GRANTED],
    ['claim', '00:04.0', 2, GRANTED],
  ],
  'a member bound to an ordinary driver refuses the claim (b015)': [['claim', '00:05.1', 1, 'EPERM']],
  'a bridge on pcieport and functions without driver do not (A2.2)': [
    ['claim', '02:01.0', 1, GRANTED],
    ['claim', '02:02.0', 1, GRANTED],
  ],
  'a release by somebody else changes nothing': [
    ['claim', '00:03.0', 1, GRANTED],
    ['release', '00:03.0', 2],
    ['claim', '00:03.0', 2, 'EPERM'],
  ],
  'a release of a group that nobody owns changes nothing': [
    ['release', '00:03.0', 1],
    ['claim', '00:03.0', 1, GRANTED],
  ],
  'a function without a group': [['claim', '00:02.0', 1, 'ENODEV']],
  'a function that is not there': [['claim', '00:1f.0', 1, 'ENODEV']],
};

describe('DMA ownership', () => {
  it.each(Object.entries(programs))('%s', (_title, acts) => {
    const bench = sealedBench();
    acts.forEach((each, i) => expect([i, act(bench, each)]).toEqual([i, each[3]]));
    expect(bench.core.check()).toEqual([]);
  });

  it('the first claim blocks the DMA of all members before it answers, the last release gives it back (A2.5)', () => {
    const bench = sealedBench({ iommu: { attach: () => HOLD } });
    const claim = bench.ask(IOMMUFD, groupsApi.claimDma, { bdf: '0000:00:04.0', context: 1 });
    const other = bench.ask(IOMMUFD, groupsApi.claimDma, { bdf: '0000:00:04.1', context: 2 });
    expect([claim.done, other.done]).toEqual([false, false]);
    bench.answer('iommu.attach', { ok: true });
    const pair = ['0000:00:04.0', '0000:00:04.1'];
    expect(claim.value).toEqual({ ok: true, value: { group: 2, members: pair, noiommu: false } });
    expect(other.value).toEqual(fail('EPERM'));
    const released = bench.ask(IOMMUFD, groupsApi.releaseDma, { bdf: '0000:00:04.0', context: 1 });
    const next = bench.ask(IOMMUFD, groupsApi.claimDma, { bdf: '0000:00:04.1', context: 2 });
    expect([released.done, next.done]).toEqual([false, false]);
    bench.answer('iommu.attach', { ok: true });
    expect(released.done).toBe(true);
    bench.answer('iommu.attach', { ok: true });
    expect(next.value?.ok).toBe(true);
    const members = '0000:00:04.0 0000:00:04.1';
    expect(callsTo(bench)).toEqual([
      `iommu.attach ${members} ${BLOCKING}`,
      `iommu.attach ${members} ${KERNEL}`,
      `iommu.attach ${members} ${BLOCKING}`,
    ]);
  });

  it('a probe of an ordinary driver waits for a claim under way, and loses', () => {
    const bench = sealedBench({ iommu: { attach: () => HOLD } });
    files(bench).write('/sys/bus/pci/drivers/nvme/unbind', '0000:00:05.0');
    const claim = bench.ask(IOMMUFD, groupsApi.claimDma, { bdf: '0000:00:05.1', context: 1 });
    const bound = bench.ask(CLIENT, groupsApi.sysfsWrite, {
      path: '/sys/bus/pci/drivers/nvme/bind',
      data: '0000:00:05.0',
    });
    expect(bound.done).toBe(false);
    bench.answer('iommu.attach', { ok: true });
    expect([claim.value?.ok, bound.value]).toEqual([true, fail('EBUSY')]);
    expect(bench.core.check()).toEqual([]);
  });

  it('an IOMMU that cannot block leaves the group unowned', () => {
    let errno = true;
    const bench = sealedBench({ iommu: { attach: () => (errno ? fail('ENOMEM') : { ok: true }) } });
    expect(act(bench, ['claim', '00:03.0', 1])).toBe('ENOMEM');
    expect(bench.core.check()).toEqual([]);
    errno = false;
    expect(act(bench, ['claim', '00:03.0', 2])).toBe(GRANTED);
  });

  it.each([
    ['intel-vtd', 0, GRANTED],
    ['amd-vi', 0, GRANTED],
    ['arm-smmu-v3', 0, GRANTED],
    ['virtio-iommu', 0, 'EPERM'],
    ['virtio-iommu', 1, GRANTED],
  ])('MSI isolation: %s with allow_unsafe_interrupts=%i answers %s (A2.8)', (iommu, allowUnsafeInterrupts, answer) => {
    const bench = sealedBench({}, { ...SETUP, iommu, allowUnsafeInterrupts });
    expect(act(bench, ['claim', '00:03.0', 1])).toBe(answer);
  });

  it.each([
    ['pages', 'pages'],
    ['a device', 'device:0000:00:03_0'],
    ['the lab', 'lab'],
  ])('only iommufd may claim and release: %s may not', (_who, from) => {
    const bench = sealedBench();
    const args = { bdf: '0000:00:03.0', context: 1 };
    expect(bench.get(from, groupsApi.claimDma, args)).toEqual(fail('EPERM'));
    act(bench, ['claim', '00:03.0', 1]);
    bench.get(from, groupsApi.releaseDma, args);
    expect(act(bench, ['claim', '00:03.0', 2])).toBe('EPERM');
  });
});

describe('check finds', () => {
  const host = () => sealedBench().core.host!;
  type TestHost = ReturnType<typeof host>;
  const broken: Record<string, readonly [(h: TestHost) => void, RegExp]> = {
    'an owner without count': [(h) => (h.groups.get(1)!.owner = { kind: 'context', context: 1 }), /^I12: group 1/],
    'an ordinary driver in an owned group': [
      (h) => (h.groups.get(3)!.owner = { kind: 'context', context: 1 }),
      /^I13: group 3 is owned by iommufd context 1/,
    ],
    'a count that is not that of the drivers': [(h) => (h.groups.get(3)!.count = 2), /^I13: group 3 counts 2/],
    'a cdev without driver': [(h) => (h.devices.get('0000:00:03.0')!.driver = undefined), /^0000:00:03.0: bound to/],
    'a remove that never ended': [(h) => (h.devices.get('0000:00:03.0')!.removing = true), /never ended/],
    'claims of a cdev that is not there': [(h) => (h.devices.get('0000:00:05.0')!.cdevClaims = 1), /^I16/],
    'one minor twice': [
      (h) => (h.devices.get('0000:00:04.0')!.vfio = { minor: 0, visible: true }),
      /0000:00:03.0 and 0000:00:04.0 share vfio0/,
    ],
  };
  it.each(Object.entries(broken))('%s', (_title, [spoil, words]) => {
    const h = host();
    expect(brokenInvariants(h)).toEqual([]);
    spoil(h);
    expect(brokenInvariants(h)).toEqual([expect.stringMatching(words)]);
  });
});
