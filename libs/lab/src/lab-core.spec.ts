import {
  bootApi,
  ByteReader,
  containerApi,
  encodeFrame,
  faultOf,
  EVENT,
  groupsApi,
  labApi,
  iommufdApi,
  pagesApi,
  sysApi,
} from '@vfiolab/core';
import { fail, ok } from '@vfiolab/uapi';
import { LabCore } from './lab-core.js';
import { LIMITS } from './limits.js';
import { Bench, HOLD, type Script } from '../../core/src/testing/bench.js';

const OPERATOR = 'client:operator';
const PLAN = {
  machine: 'wrx80',
  profile: '6.12',
  iommu: 'amd-vi',
  frames: 262144,
  allowUnsafeInterrupts: 0,
  vfioContainer: 'vfio' as const,
  pageShift: 12,
};
const MADE = { error: '', functions: 96, groups: 73 };

const bench = (groups: Record<string, Script> = {}, clientGone: Script = () => undefined): Bench<LabCore> => {
  const sys = { api: sysApi, answers: { clientGone } };
  return new Bench('lab', new LabCore(), {
    groups: {
      api: { ...groupsApi, clientGone: sysApi.clientGone },
      answers: { load: () => ok(undefined), seal: () => MADE, vfioDevices: () => [], clientGone, ...groups },
    },
    pages: { api: { ...pagesApi, clientGone: sysApi.clientGone }, answers: { setup: () => undefined, clientGone } },
    iommufd: {
      api: { ...iommufdApi, clientGone: sysApi.clientGone },
      answers: { setup: () => ok(undefined), clientGone },
    },
    container: {
      api: { ...containerApi, clientGone: sysApi.clientGone },
      answers: { setup: () => ok(undefined), clientGone },
    },
    device: sys,
  });
};
const calls = (b: Bench<LabCore>): string[] => b.heard.map(({ to, method }) => `${to} ${method}`);
const register = (b: Bench<LabCore>, actor: string, instance: string) => b.get(actor, bootApi.register, { instance });

/** An actor tells the lab how far its journal is. */
function witness(b: Bench<LabCore>, from: string, seq: number, hash: string): void {
  const header = {
    kind: EVENT,
    flags: 0,
    method: bootApi.witness.id,
    epoch: 0,
    id: 0,
    floor: 0,
    clock: 0,
    seen: 0,
    deadline: 0,
  };
  const frame = encodeFrame(header, bootApi.witness.args, { seq, hash });
  b.machine.step({ from, frame, now: 1, entropy: new Uint8Array(0) });
}

describe('epochs', () => {
  it('a new instance gets the next epoch, the same one gets its own again, actors count apart', () => {
    const b = bench();
    const epochs = [
      ['iommu', 'a'],
      ['iommu', 'b'],
      ['iommu', 'b'],
      ['pages', 'a'],
      ['iommu', 'c'],
      ['lab', 'a'],
    ].map(([actor, name]) => register(b, actor!, name!).epoch);
    expect(epochs).toEqual([1, 2, 2, 1, 3, 1]);
  });

  it('answers how far the journal of the actor was seen', () => {
    const b = bench();
    expect(register(b, 'iommu', 'a')).toEqual({ epoch: 1, seq: 0, hash: '' });
    witness(b, 'iommu', 17, 'abc');
    expect(register(b, 'iommu', 'b')).toEqual({ epoch: 2, seq: 17, hash: 'abc' });
    expect(register(b, 'pages', 'a')).toEqual({ epoch: 1, seq: 0, hash: '' });
  });

  it.each([
    ['an instance without name', 'iommu', ''],
    ['a name that is too long', 'iommu', 'x'.repeat(LIMITS.instance + 1)],
  ])('%s gets no epoch and no place', (_who, actor, name) => {
    const b = bench();
    expect(register(b, actor, name).epoch).toBe(0);
    expect(b.get(OPERATOR, labApi.status, undefined)).toEqual([]);
  });

  it('a client gets no epoch and no place, even where the machine lets it ask', () => {
    const b = bench();
    const row = b.core.methods.get(bootApi.register.id)!;
    const req = { from: 'client:a', now: 1, entropy: new Uint8Array(0) };
    expect(row.handle(req, { instance: 'a' })).toEqual({ epoch: 0, seq: 0, hash: '' });
    expect(b.get(OPERATOR, labApi.status, undefined)).toEqual([]);
  });

  it('actors are bounded; those that are known go on', () => {
    const b = bench();
    for (let i = 0; i < LIMITS.actors; i++) expect(register(b, `device:${i}`, 'a').epoch).toBe(1);
    expect(register(b, 'device:more', 'a').epoch).toBe(0);
    expect(register(b, 'device:0', 'b').epoch).toBe(2);
    expect(b.get(OPERATOR, labApi.status, undefined)).toHaveLength(LIMITS.actors);
  });

  it('status lists actors by address', () => {
    const b = bench();
    register(b, 'pages', 'p1');
    b.now = 2000;
    register(b, 'iommu', 'i1');
    witness(b, 'iommu', 5, 'h');
    expect(b.get('client:anyone', labApi.status, undefined)).toEqual([
      { actor: 'iommu', epoch: 1, instance: 'i1', since: 2000, seq: 5 },
      { actor: 'pages', epoch: 1, instance: 'p1', since: 1000, seq: 0 },
    ]);
  });
});

describe('making the host', () => {
  it('passes the pieces on and answers what groups says of them', () => {
    const b = bench({ load: ({ part }: { part: number }) => (part === 0 ? ok(undefined) : fail('E2BIG')) });
    expect(b.get(OPERATOR, labApi.loadMachine, { part: 0, text: 'lspci' })).toEqual(ok(undefined));
    expect(b.get(OPERATOR, labApi.loadMachine, { part: 1, text: 'more' })).toEqual(fail('E2BIG'));
    expect(b.heard[0]).toEqual({ to: 'groups', method: 'groups.load', args: { part: 0, text: 'lspci' } });
  });

  it('makes groups, then memory, once', () => {
    const b = bench();
    expect(b.get(OPERATOR, labApi.createHost, PLAN)).toEqual(MADE);
    expect(calls(b)).toEqual([
      'groups groups.seal',
      'pages pages.setup',
      'iommufd iommufd.setup',
      'container container.setup',
    ]);
    expect(b.heard[1]!.args).toEqual({ frames: 262144, pageShift: 12 });
    expect(b.get(OPERATOR, labApi.createHost, PLAN).error).toMatch(/made already, of machine wrx80/);
    expect(b.get(OPERATOR, labApi.loadMachine, { part: 0, text: 'x' })).toEqual(fail('EBUSY'));
    expect(b.heard).toHaveLength(4);
  });

  it('a machine that groups refuses leaves no host, and another may come', () => {
    let error = 'wrx80: line 3: ...';
    const b = bench({ seal: () => ({ ...MADE, error }) });
    expect(b.get(OPERATOR, labApi.createHost, PLAN).error).toBe(error);
    expect(calls(b)).toEqual(['groups groups.seal']);
    error = '';
    expect(b.get(OPERATOR, labApi.createHost, PLAN).error).toBe('');
  });

  it('waits for nobody else: a second request during the first is refused', () => {
    const b = bench({ seal: () => HOLD });
    const first = b.ask(OPERATOR, labApi.createHost, PLAN);
    expect(b.get('client:operator2', labApi.createHost, PLAN).error).toMatch(/is being made/);
    expect(b.get(OPERATOR, labApi.loadMachine, { part: 0, text: 'x' })).toEqual(fail('EBUSY'));
    b.answer('groups.seal', MADE);
    expect(first.value).toEqual(MADE);
    expect(b.core.check()).toEqual([]);
  });

  it.each([
    ['no name', OPERATOR, { machine: '' }, /^machine: a name of 1 to 200/],
    ['a name that is too long', OPERATOR, { machine: 'x'.repeat(LIMITS.machine + 1) }, /^machine: /],
    ['no memory', OPERATOR, { frames: 0 }, /^frames: 0 frames/],
    ['too much memory', OPERATOR, { frames: LIMITS.frames + 1 }, /Ask for 1 to/],
    ['a page that no kernel of ours has', OPERATOR, { pageShift: 14 }, /^pageShift: 14/],
    ['a client that is no operator', 'client:guest', {}, /^client:guest is no operator/],
    ['a service', 'iommu', {}, /no operator/],
  ])('refuses before anything is made: %s', (_title, from, change, words) => {
    const b = bench();
    expect(b.get(from, labApi.createHost, { ...PLAN, ...change }).error).toMatch(words);
    expect(b.heard).toEqual([]);
    expect(b.get(OPERATOR, labApi.createHost, { ...PLAN, frames: LIMITS.frames }).error).toBe('');
  });

  it('only an operator may load a machine', () => {
    const b = bench();
    expect(b.get('client:guest', labApi.loadMachine, { part: 0, text: 'x' })).toEqual(fail('EPERM'));
    expect(b.heard).toEqual([]);
  });
});

describe('ending a client', () => {
  const devices = { vfioDevices: () => ['0000:00:03.0', '0000:41:00.0'] };
  const order = [
    'groups groups.vfioDevices',
    'groups sys.clientGone',
    'device:0000:00:03_0 sys.clientGone',
    'device:0000:41:00_0 sys.clientGone',
    'container sys.clientGone',
    'iommufd sys.clientGone',
    'pages sys.clientGone',
  ];

  it.each([
    ['an operator', OPERATOR],
    ['the client itself', 'client:a'],
  ])('%s ends it everywhere, users before what they use', (_who, from) => {
    const b = bench(devices);
    b.get(from, labApi.endClient, { client: 'client:a' });
    expect(calls(b)).toEqual(order);
    expect(b.heard.slice(1).map(({ args }) => args)).toEqual(Array(6).fill({ client: 'client:a' }));
  });

  it('each step waits for the one before', () => {
    const b = bench(devices, () => HOLD);
    const ended = b.ask(OPERATOR, labApi.endClient, { client: 'client:a' });
    for (let step = 2; step <= order.length; step++) {
      expect(calls(b)).toEqual(order.slice(0, step));
      expect(ended.done).toBe(false);
      b.answer('sys.clientGone', undefined);
    }
    expect(ended.done).toBe(true);
  });

  it.each([
    ['another client', 'client:b', 'client:a'],
    ['a service', 'iommu', 'client:a'],
    ['an operator, of a service', OPERATOR, 'pages'],
  ])('is not for %s', (_who, from, client) => {
    const b = bench(devices);
    b.get(from, labApi.endClient, { client });
    expect(b.heard).toEqual([]);
  });

  it("forgets the client's session here too", () => {
    const b = bench();
    const { sessions } = b.machine as unknown as { sessions: ReadonlyMap<string, unknown> };
    b.get('client:a', labApi.status, undefined);
    expect(sessions.has('client:a')).toBe(true);
    b.get(OPERATOR, labApi.endClient, { client: 'client:a' });
    expect(sessions.has('client:a')).toBe(false);
  });
});

describe('a fault of a device', () => {
  const BDF = '0000:41:00.0';
  const made = (deviceFault: Script = () => ({ error: '' })): Bench<LabCore> => {
    const b = bench({ deviceFault });
    b.get(OPERATOR, labApi.createHost, PLAN);
    b.heard.length = 0;
    return b;
  };

  it('is handed to groups, which answers', () => {
    const b = made((fault: { kind: string }) => ({ error: fault.kind === 'clear' ? '' : 'No.' }));
    expect(b.get(OPERATOR, labApi.fault, faultOf(BDF, 'clear'))).toEqual({ error: '' });
    expect(b.get(OPERATOR, labApi.fault, faultOf(BDF, 'link-down', { ms: 5 }))).toEqual({ error: 'No.' });
    expect(calls(b)).toEqual(['groups groups.deviceFault', 'groups groups.deviceFault']);
  });

  it.each([
    ['by anybody else', 'client:a', 'clear', {}, /is no operator/],
    ['that does not exist', OPERATOR, 'toString', {}, /^There is no fault "toString"/],
    ['without what it needs', OPERATOR, 'dma-storm', { iova: 0n }, /^dma-storm needs count/],
    ['with more than it takes', OPERATOR, 'clear', { count: 1 }, /^clear has no count/],
    ['below the least', OPERATOR, 'slow-link', { delay: 0 }, /It can be 1 to 10000/],
    ['beyond the most', OPERATOR, 'slow-link', { delay: 10_001 }, /It can be 1 to 10000/],
  ])('%s is refused here', (_what, from, kind, more, words) => {
    const b = made();
    expect(b.get(from, labApi.fault, faultOf(BDF, kind, more)).error).toMatch(words);
    expect(b.heard).toEqual([]);
  });

  it('at the bounds is well formed', () => {
    const b = made();
    for (const delay of [1, 10_000])
      expect(b.get(OPERATOR, labApi.fault, faultOf(BDF, 'slow-link', { delay }))).toEqual({ error: '' });
  });

  it('needs a host', () => {
    expect(bench().get(OPERATOR, labApi.fault, faultOf(BDF, 'clear')).error).toMatch(/no host/);
  });
});

describe('which instance has which host', () => {
  const place = (b: Bench<LabCore>, host: string, instance: string, known: number, from = OPERATOR) =>
    b.get(from, labApi.place, { host, instance, known });

  it('of two who know the same epoch one is refused, and learns of the other', () => {
    const b = bench();
    expect(place(b, 'h1', 'a', 0)).toEqual(ok(1));
    expect(place(b, 'h1', 'b', 0)).toEqual(fail('ESTALE'));
    expect(b.get(OPERATOR, labApi.placements, undefined)).toEqual([{ host: 'h1', instance: 'a', epoch: 1 }]);
    expect(place(b, 'h1', 'b', 1)).toEqual(ok(2));
    expect(place(b, 'h1', '', 2)).toEqual(ok(3));
    expect(place(b, 'h0', 'a', 0)).toEqual(ok(1));
    expect(b.core.describe()).toEqual(['no host', 'host h0: on a, epoch 1', 'host h1: nowhere, epoch 3']);
    expect(b.core.check()).toEqual([]);
  });

  it.each([
    ['no operator', 'h1', 'a', 0, 'client:tenant', 'EPERM'],
    ['no host', '', 'a', 0, OPERATOR, 'EINVAL'],
    ['a name that is too long', 'h'.repeat(LIMITS.name + 1), 'a', 0, OPERATOR, 'EINVAL'],
    ['an instance with such a name', 'h1', 'a'.repeat(LIMITS.name + 1), 0, OPERATOR, 'EINVAL'],
    ['an epoch that has not been', 'h1', 'a', 1, OPERATOR, 'ESTALE'],
  ] as const)('%s', (_title, host, instance, known, from, errno) => {
    const b = bench();
    const before = b.bytes('meaning');
    expect(place(b, host, instance, known, from)).toEqual(fail(errno));
    expect(b.bytes('meaning')).toEqual(before);
  });

  it('hosts are bounded; those that are known move on', () => {
    const b = bench();
    for (let n = 0; n < LIMITS.hosts; n++) place(b, `h${n}`, 'a', 0);
    expect(place(b, 'more', 'a', 0)).toEqual(fail('ENOSPC'));
    expect(place(b, 'h0', 'b', 1)).toEqual(ok(2));
  });

  it('whoever asks is told whether the host was made', () => {
    const b = bench();
    expect(b.get(OPERATOR, labApi.made, undefined)).toBe('');
    b.get(OPERATOR, labApi.createHost, PLAN);
    expect(b.get(OPERATOR, labApi.made, undefined)).toBe('wrx80');
  });
});

describe('the state', () => {
  const busy = (): Bench<LabCore> => {
    const b = bench();
    b.get(OPERATOR, labApi.createHost, PLAN);
    register(b, 'pages', 'p1');
    register(b, 'iommu', 'i1');
    b.get(OPERATOR, labApi.place, { host: 'h1', instance: 'a', known: 0 });
    return b;
  };

  it.each([
    ['empty', () => bench()],
    ['busy', busy],
  ])('a snapshot is read back to equal bytes: %s', (_title, make) => {
    const b = make();
    const fresh = new LabCore();
    fresh.join({
      emit: () => undefined,
      forget: () => undefined,
      isGone: () => false,
      witnessed: () => ({ seq: 0, hash: '' }),
    });
    const { before, after } = b.reread(fresh);
    expect(after).toEqual(before);
    expect(fresh.describe()).toEqual(b.core.describe());
  });

  it('the meaning holds the host and no epochs', () => {
    const [b, other] = [busy(), busy()];
    register(other, 'iommu', 'i2');
    expect(other.bytes('meaning')).toEqual(b.bytes('meaning'));
    expect(bench().bytes('meaning')).not.toEqual(b.bytes('meaning'));
  });

  it('check finds an instance without authority', () => {
    const written = busy().bytes('snapshot');
    const spoiled = written.slice();
    // The last instance: address, epoch (4 bytes), name 'p1' with its length, time (8 bytes).
    spoiled[written.length - 8 - 6 - 4] = 0;
    const fresh = new LabCore();
    fresh.decode(new ByteReader(spoiled));
    expect(fresh.check()).toEqual(['pages: instance "p1" has epoch 0']);
  });

  it('is described with one line an actor', () => {
    expect(busy().core.describe()).toEqual([
      'host wrx80: 262144 frames of memory',
      'host h1: on a, epoch 1',
      'iommu: epoch 1, instance i1, record 0',
      'pages: epoch 1, instance p1, record 0',
    ]);
    expect(bench().core.describe()).toEqual(['no host']);
  });
});
