import { fail } from '@vfiolab/uapi';
import { decodeHeader, emptyHeader, encodeEmptyFrame, encodeFrame, payloadOf, REPLY, REQUEST } from '../frame.js';
import { pagesApi } from '../protocol/pages.js';
import { sysApi } from '../protocol/sys.js';
import { type EdgePorts, FaultEdge, MAX_WAITING } from './fault-edge.js';
import { ruleProblemText } from './read-rule.js';
import { MAX_REFUSED } from './refusals.js';
import type { RawRule } from './rule.js';

/** An edge in a world of its own: time moves by `pass`, and what happens is written down. */
class World {
  now = 0;
  readonly told: string[] = [];
  readonly carried: Uint8Array[] = [];
  known = new Set<string>();
  authority: { clock: number; epoch: number } | undefined = { clock: 77, epoch: 3 };
  private timers: { at: number; run: () => void }[] = [];
  readonly ports: EdgePorts = {
    now: () => this.now,
    after: (ms, run) => void this.timers.push({ at: this.now + ms, run }),
    deliver: (from, to, frame) => void this.told.push(`${from}>${to} ${decodeHeader(frame).id}`),
    carry: (from, to, frame) => {
      this.carried.push(frame);
      this.told.push(`carry ${from}>${to} ${decodeHeader(frame).id}`);
    },
    knows: (actor, from, id) => this.known.has(`${actor} ${from} ${id}`),
    authority: () => this.authority,
    serves: () => true,
    crash: (target, ms) => void this.told.push(`crash ${target} ${ms}`),
    trouble: (what, target, on) => void this.told.push(`${what} ${target} ${on ? 'begins' : 'ends'}`),
    changed: () => undefined,
  };
  readonly edge = new FaultEdge(this.ports);

  constructor(...rules: RawRule[]) {
    const named = Object.fromEntries(rules.map((rule, i) => [`r${i}`, rule]));
    expect(this.edge.add(named).map(ruleProblemText)).toEqual([]);
  }

  pass(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      this.timers.sort((a, b) => a.at - b.at);
      const next = this.timers[0];
      if (!next || next.at > until) break;
      this.now = next.at;
      this.timers.shift();
      next.run();
    }
    this.now = until;
  }

  /** A request of iommufd for pages. */
  request(id: number, from = 'iommufd', to = 'pages', method = pagesApi.pin.id, floor = 1): boolean {
    return this.edge.arrives(from, to, encodeEmptyFrame({ ...emptyHeader(), kind: REQUEST, method, id, floor }));
  }

  answer(id: number, side: 'arrives' | 'leaves' = 'arrives', to = 'iommufd', from = 'pages'): boolean {
    return this.edge[side](from, to, encodeEmptyFrame({ ...emptyHeader(), kind: REPLY, id }));
  }

  fired(): number[] {
    return this.edge.status().map(({ fired }) => fired);
  }
}

const ids = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

test('from the nth on, every so many, so often', () => {
  const w = new World({ drop: 'requests', nth: 3, every: 2, times: 2 });
  expect(ids(9).map((id) => w.request(id))).toEqual([true, true, false, true, false, true, true, true, true]);
  expect(w.edge.status()).toMatchObject([{ seen: 9, fired: 2 }]);
});

test('each service counts for itself', () => {
  const w = new World({ drop: 'requests', times: 1 });
  expect([w.request(1), w.request(1, 'iommufd', 'iommu'), w.request(2), w.request(2, 'iommufd', 'iommu')]).toEqual([
    ...[false, false, true, true],
  ]);
});

test('only in its time', () => {
  const w = new World({ drop: 'requests', after: '10ms', for: '5ms' });
  const got: boolean[] = [];
  for (const ms of [9, 1, 4, 1]) {
    w.pass(ms);
    got.push(w.request(1));
  }
  expect(got).toEqual([true, false, false, true]);
});

test('who sends, who receives, what it is about', () => {
  const pin = pagesApi.pin.id;
  const w = new World({ drop: 'requests', from: 'device:0000:41:00.0', to: 'pages', of: 'pages.pin', times: 9 });
  expect(w.request(1, 'device:0000:41:00_0', 'pages', pin)).toBe(false);
  expect(w.request(1, 'device:0000:41:00_1', 'pages', pin)).toBe(true);
  expect(w.request(1, 'device:0000:41:00_0', 'iommu', pin)).toBe(true);
  expect(w.request(2, 'device:0000:41:00_0', 'pages', pagesApi.unpin.id)).toBe(true);
});

test('an answer is about what was asked', () => {
  const w = new World({ drop: 'answers', of: 'pages.pin', times: 9 });
  w.edge.leaves(
    'iommufd',
    'pages',
    encodeEmptyFrame({ ...emptyHeader(), kind: REQUEST, method: pagesApi.pin.id, id: 4 }),
  );
  expect([w.answer(4), w.answer(5)]).toEqual([false, true]);
});

test('an ioctl by its name, also as powerpc sends it', () => {
  const w = new World({ drop: 'requests', of: 'VFIO_GET_API_VERSION', times: 9 });
  const ioctl = (cmd: number): boolean => {
    const header = { ...emptyHeader(), kind: REQUEST, method: sysApi.ioctl.id, id: 1 };
    const args = { token: '\0'.repeat(8), cmd, arg: 0, segments: [], fds: [] };
    return w.edge.arrives('client:a', 'container', encodeFrame(header, sysApi.ioctl.args, args));
  };
  expect([0x3b64, 0x20003b64, 0x3b65].map(ioctl)).toEqual([false, false, true]);
});

test('what goes to a client is judged where it leaves, and once', () => {
  const w = new World({ drop: 'answers', to: 'client', times: 9 });
  expect(w.answer(1, 'leaves', 'client:a')).toBe(false);
  expect(w.answer(1, 'leaves', 'iommufd')).toBe(true);
  expect(w.fired()).toEqual([1]);
});

test('delayed, and repeated', () => {
  const w = new World({ delay: 'requests', to: 'pages', by: '10ms' }, { repeat: 'requests', to: 'iommu', by: '5ms' });
  expect([w.request(1), w.request(2, 'iommufd', 'iommu')]).toEqual([false, true]);
  w.pass(9);
  expect(w.told).toEqual(['iommufd>iommu 2']);
  w.pass(1);
  expect(w.told).toEqual(['iommufd>iommu 2', 'iommufd>pages 1']);
});

test('held until released, cleared, or its time is over; in order', () => {
  for (const end of ['release', 'clear', 'time'] as const) {
    const w = new World({ hold: 'requests', for: '1s' });
    expect([w.request(1), w.request(2)]).toEqual([false, false]);
    expect(w.edge.status()).toMatchObject([{ held: 2 }]);
    if (end === 'time') w.pass(1000);
    else w.edge[end]();
    expect(w.told).toEqual(['iommufd>pages 1', 'iommufd>pages 2']);
    expect(w.request(3)).toBe(end !== 'release');
  }
});

test('so many frames wait at most; others are lost', () => {
  const w = new World({ hold: 'requests' });
  for (const id of ids(MAX_WAITING + 2)) w.request(id);
  w.edge.clear();
  expect(w.told).toHaveLength(MAX_WAITING);
});

test('a partition is both ways, between these two', () => {
  const w = new World({ partition: 'iommufd', from: 'pages', for: '1s' });
  expect([w.request(1), w.answer(1), w.request(1, 'iommufd', 'iommu'), w.request(1, 'groups')]).toEqual([
    ...[false, false, true, true],
  ]);
  w.pass(1000);
  expect([w.request(1), w.answer(1)]).toEqual([true, true]);
});

test('a refused request is answered as its service would, every time, and never carried out', () => {
  const w = new World({ refuse: 'requests', of: 'pages.pin', with: 'ENOMEM', nth: 2 });
  expect([w.request(1), w.request(1), w.request(2), w.request(2), w.request(3)]).toEqual([
    ...[true, true, false, false, true],
  ]);
  expect(w.told).toEqual(['carry pages>iommufd 2', 'carry pages>iommufd 2']);
  expect(decodeHeader(w.carried[0]!)).toMatchObject({ kind: REPLY, id: 2, clock: 77, epoch: 3, method: 0 });
  expect(pagesApi.pin.reply.read(payloadOf(w.carried[0]!))).toEqual(fail('ENOMEM'));
  w.edge.clear();
  // The rule is gone; the request is still refused, until its sender has the answer.
  expect([w.edge.active, w.request(2), w.request(4, 'iommufd', 'pages', pagesApi.pin.id, 3)]).toEqual([
    true,
    false,
    true,
  ]);
  expect(w.edge.active).toBe(false);
});

test('what its service has seen, or could not answer now, is not refused', () => {
  const w = new World({ refuse: 'requests', of: 'pages.pin', with: 'ENOMEM', times: 9 });
  w.known.add('pages iommufd 1');
  expect(w.request(1)).toBe(true);
  w.authority = undefined;
  expect(w.request(2)).toBe(true);
  w.authority = { clock: 1, epoch: 1 };
  expect([w.request(2), w.fired()]).toEqual([false, [1]]);
});

test('a request that waits is not carried out when its repetition was refused meanwhile', () => {
  const w = new World({ hold: 'requests', times: 1 });
  expect(w.request(1)).toBe(false);
  w.edge.add({ no: { refuse: 'requests', of: 'pages.pin', with: 'ENOMEM' } });
  // Its first coming was the one that waits: this one is let pass.
  expect(w.request(1)).toBe(true);
  w.edge.clear();
  expect(w.told).toEqual(['iommufd>pages 1']);
});

test('so many requests stay refused at most', () => {
  const w = new World({ refuse: 'requests', of: 'pages.pin', with: 'ENOMEM', times: 5000 });
  expect(ids(MAX_REFUSED + 1).filter((id) => w.request(id))).toEqual([MAX_REFUSED + 1]);
});

test('a service is killed when a request comes in, or before an answer leaves: who it was for never hears of it', () => {
  const w = new World(
    { crash: 'pages', at: 'requests', nth: 2, for: '50ms' },
    { crash: 'pages', at: 'answers', of: 'pages.pin' },
  );
  expect([w.request(1), w.request(1), w.request(2)]).toEqual([true, true, false]);
  expect([w.answer(1, 'leaves'), w.answer(1, 'leaves')]).toEqual([false, true]);
  expect(w.told).toEqual(['crash pages 50', 'crash pages 200']);
});

test('troubles begin in their time and end, also when their rule does', () => {
  const w = new World(
    { pause: 'pages', after: '5ms', for: '10ms' },
    { 'fill-disk': 'iommu', at: 'requests', for: '1s' },
  );
  w.pass(5);
  expect(w.request(1, 'iommufd', 'iommu')).toBe(true);
  w.pass(10);
  w.edge.clear();
  w.pass(2000);
  expect(w.told).toEqual(['pause pages begins', 'fill-disk iommu begins', 'pause pages ends', 'fill-disk iommu ends']);
});

test('at once, except that nobody is killed before the answer to the operator is on its way', () => {
  const w = new World({ 'fill-disk': 'pages' }, { crash: 'iommu' });
  expect(w.told).toEqual(['fill-disk pages begins']);
  w.pass(10);
  expect(w.told).toEqual(['fill-disk pages begins', 'crash iommu 200']);
});

test('the same rule again goes on; another one with its name begins anew', () => {
  const w = new World({ drop: 'requests', times: 1 });
  w.request(1);
  w.edge.add({ r0: { drop: 'requests', times: 1 } });
  expect(w.fired()).toEqual([1]);
  w.edge.add({ r0: { drop: 'requests', times: 2 } });
  expect(w.fired()).toEqual([0]);
});

test('goes on after a restart as it was', () => {
  const w = new World(
    { crash: 'pages', at: 'requests', nth: 2 },
    { refuse: 'requests', of: 'pages.pin', with: 'ENOMEM' },
  );
  w.request(1);
  w.request(2);
  const again = new World();
  again.edge.restore(JSON.parse(JSON.stringify(w.edge.state())) as ReturnType<FaultEdge['state']>);
  expect([again.request(1), again.request(2), again.request(3)]).toEqual([false, true, true]);
  expect(again.edge.status()).toMatchObject([{ fired: 1 }, { fired: 1 }]);
  expect(again.told).toEqual(['carry pages>iommufd 1']);
});

test('who keeps no journal is not killed; rules for others are not taken', () => {
  const w = new World();
  const edge = new FaultEdge({ ...w.ports, crash: undefined });
  expect(edge.add({ a: { crash: 'pages' } }).map(ruleProblemText)[0]).toContain('no journal is kept');
  expect(edge.add({ a: { break: '0000:41:00.0', with: 'link-down' } })).toHaveLength(1);
  expect(edge.active).toBe(false);
});

test('what is no frame passes', () => {
  const w = new World({ drop: 'messages', times: 9 });
  expect(w.edge.arrives('iommufd', 'pages', new Uint8Array(3))).toBe(true);
});

test('without rules it need not be asked', () => {
  const w = new World({ drop: 'requests', times: 1 });
  expect(w.edge.active).toBe(true);
  w.edge.clear(['r0']);
  expect([w.edge.active, w.edge.status()]).toEqual([false, []]);
});
