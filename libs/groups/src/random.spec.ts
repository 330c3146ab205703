/**
 * Random programs of many clients, with answers of the other services held back for a random while.
 *
 * Rule: the seed decides everything; whatever was asked, nothing stays stuck and the invariants hold once all is answered.
 */
import { BLOCKING, groupsApi, IOMMUFD, type ArgsOf, type iommuApi } from '@vfiolab/core';
import { GroupsCore } from './groups-core.js';
import { HOLD, type Asked } from '../../core/src/testing/bench.js';
import { sealedBench } from './testing/machines.js';

/** Numbers below a bound from a 32-bit linear congruential generator. */
const dice = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

const BDFS = [
  '0000:00:03.0',
  '0000:00:04.0',
  '0000:00:04.1',
  '0000:00:05.0',
  '0000:00:05.1',
  '0000:01:00.0',
  '0000:02:01.0',
];
const DRIVERS = ['vfio-pci', 'nvme', 'e1000e', 'pci-stub'];

function play(seed: number) {
  const roll = dice(seed);
  const pick = <T>(of: readonly T[]): T => of[roll(of.length)]!;
  let holding = true;
  const answer = (value: unknown) => () => (holding && roll(2) === 0 ? HOLD : value);
  const bench = sealedBench();
  /** Groups in the blocking domain, by first member, as the IOMMU was told. */
  const blocked = new Set<string>();
  const attach = ({ bdfs, domain }: ArgsOf<typeof iommuApi.attach>): unknown => {
    if (domain === BLOCKING) blocked.add(bdfs[0]!);
    else blocked.delete(bdfs[0]!);
    return answer({ ok: true })();
  };
  bench.script('iommu', { attach });
  bench.script('device', { probe: answer({ ok: true }), remove: answer(undefined) });
  const asked: Asked[] = [];
  const write = (path: string, data: string): void =>
    void asked.push(bench.ask(`client:${roll(5)}`, groupsApi.sysfsWrite, { path: `/sys/bus/pci/${path}`, data }));
  const acts = [
    (bdf: string) => write(`drivers/${pick(DRIVERS)}/bind`, bdf),
    (bdf: string) => write(`drivers/${pick(DRIVERS)}/unbind`, bdf),
    (bdf: string) => write('drivers_probe', bdf),
    (bdf: string) => write(`devices/${bdf}/driver_override`, pick(['vfio-pci', '\n'])),
    (bdf: string) => void asked.push(bench.ask(IOMMUFD, groupsApi.claimDma, { bdf, context: roll(2) })),
    (bdf: string) => void asked.push(bench.ask(IOMMUFD, groupsApi.releaseDma, { bdf, context: roll(2) })),
  ];
  for (let i = 0; i < 300; i++) {
    pick(acts)(pick(BDFS));
    if (bench.held.length > 0 && roll(2) === 0) bench.answerOne(roll(bench.held.length));
  }
  holding = false;
  while (bench.held.length > 0) bench.answerOne(0);
  return { bench, asked, blocked };
}

describe('random programs', () => {
  it.each(Array.from({ length: 40 }, (_, i) => i + 1))('seed %i', (seed) => {
    const { bench, asked, blocked } = play(seed);
    expect(asked.filter(({ done }) => !done)).toEqual([]);
    expect(bench.machine.idle).toBe(true);
    expect(bench.core.check()).toEqual([]);
    const owned = [...bench.core.host!.groups.values()].filter(({ owner }) => owner.kind === 'context');
    expect(owned.map(({ members }) => members[0])).toEqual([...blocked].sort());
    const { before, after } = bench.reread(new GroupsCore());
    expect(after).toEqual(before);
  });

  it('are the same for the same seed', () => {
    expect(play(7).bench.bytes('snapshot')).toEqual(play(7).bench.bytes('snapshot'));
  });
});
