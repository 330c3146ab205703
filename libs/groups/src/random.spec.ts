/**
 * Random programs of many clients, with answers of the other services held back for a random while.
 *
 * Rule: the seed decides everything; whatever was asked, nothing stays stuck and the invariants hold once all is answered.
 */
import { type ArgsOf, BLOCKING, CONTAINER, groupsApi, type iommuApi, IOMMUFD, LAB, sysApi } from '@vfiolab/core';
import { VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER } from '@vfiolab/uapi';
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
const [ARG, FD] = [0x1000, 3];
const FD_BYTES = Uint8Array.of(FD, 0, 0, 0);
const SET_CONTAINER = {
  cmd: VFIO_GROUP_SET_CONTAINER.nr,
  arg: ARG,
  segments: [{ va: ARG, writable: true, bytes: FD_BYTES }],
};
const UNSET_CONTAINER = { cmd: VFIO_GROUP_UNSET_CONTAINER.nr, arg: 0, segments: [], fds: [] };
const CONTAINERS = [CONTAINER, IOMMUFD].map((owner) => ({ fd: FD, token: 'capacity', owner }));
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
  bench.script('container', {
    hold: () => ({ ok: true, value: { container: 1 } }),
    join: answer({ ok: true }),
    leave: answer(undefined),
    drop: answer(undefined),
    ready: answer({ ok: true }),
  });
  bench.script('iommufd', { compatHold: () => ({ ok: true, value: { context: 9 } }), compatDrop: answer(undefined) });
  const asked: Asked[] = [];
  const holders = ['client:f0', 'client:f1', 'client:f2'];
  const tokens: { readonly token: string; readonly client: string }[] = [];
  const write = (path: string, data: string): void =>
    void asked.push(bench.ask(`client:${roll(5)}`, groupsApi.sysfsWrite, { path: `/sys/bus/pci/${path}`, data }));
  const acts = [
    (bdf: string) => write(`drivers/${pick(DRIVERS)}/bind`, bdf),
    (bdf: string) => write(`drivers/${pick(DRIVERS)}/unbind`, bdf),
    (bdf: string) => write('drivers_probe', bdf),
    (bdf: string) => write(`devices/${bdf}/driver_override`, pick(['vfio-pci', '\n'])),
    (bdf: string) => void asked.push(bench.ask(IOMMUFD, groupsApi.claimDma, { bdf, context: roll(2) })),
    (bdf: string) => void asked.push(bench.ask(IOMMUFD, groupsApi.releaseDma, { bdf, context: roll(2) })),
    open,
    open,
    setContainer,
    setContainer,
    () => onFile((token, client) => bench.ask(client, sysApi.close, { token })),
    () => onFile((token, client) => bench.ask(client, sysApi.ioctl, { ...UNSET_CONTAINER, token })),
    () => end(roll(holders.length)),
  ];
  /** A client ends, and another one comes in its place. */
  function end(which: number): void {
    const client = holders[which]!;
    holders[which] = `${client}a`;
    tokens.splice(0, tokens.length, ...tokens.filter((each) => each.client !== client));
    asked.push(bench.ask(LAB, sysApi.clientGone, { client }));
  }
  /** Opened files are noted when the answer comes, which may be never before the end. */
  function open(): void {
    const client = pick(holders);
    const opened = bench.ask(client, sysApi.open, { path: `/dev/vfio/${1 + roll(5)}`, flags: 2 });
    asked.push(opened);
    if (opened.value?.ok) tokens.push({ token: opened.value.value.token, client });
  }
  function setContainer(): void {
    const fds = [pick(CONTAINERS)];
    onFile((token, client) => bench.ask(client, sysApi.ioctl, { ...SET_CONTAINER, token, fds }));
  }
  function onFile(act: (token: string, client: string) => Asked): void {
    if (tokens.length === 0) return;
    const { token, client } = pick(tokens);
    asked.push(act(token, client));
  }
  for (let i = 0; i < 300; i++) {
    pick(acts)(pick(BDFS));
    if (bench.held.length > 0 && roll(2) === 0) bench.answerOne(roll(bench.held.length));
  }
  holding = false;
  for (let which = 0; which < holders.length; which++) end(which);
  while (bench.held.length > 0) bench.answerOne(0);
  return { bench, asked, blocked, joins: bench.heard.filter(({ method }) => method === 'container.join').length };
}

describe('random programs', () => {
  it.each(Array.from({ length: 40 }, (_, i) => i + 1))('seed %i', (seed) => {
    const { bench, asked, blocked } = play(seed);
    expect(asked.filter(({ done }) => !done)).toEqual([]);
    expect(bench.machine.idle).toBe(true);
    expect(bench.core.check()).toEqual([]);
    expect(bench.core.figures()['files']).toBe(0);
    const owned = [...bench.core.host!.groups.values()].filter(({ owner }) => owner.kind === 'context');
    expect([...bench.core.host!.vfioGroups.values()].every(({ alive, file }) => alive && !file)).toBe(true);
    expect(owned.map(({ members }) => members[0])).toEqual([...blocked].sort());
    const { before, after } = bench.reread(new GroupsCore());
    expect(after).toEqual(before);
  });

  it('bring groups into containers', () => {
    const joins = Array.from({ length: 10 }, (_, i) => play(i + 1).joins);
    expect(joins.reduce((sum, each) => sum + each, 0)).toBeGreaterThan(10);
  });

  it('are the same for the same seed', () => {
    expect(play(7).bench.bytes('snapshot')).toEqual(play(7).bench.bytes('snapshot'));
  });
});
