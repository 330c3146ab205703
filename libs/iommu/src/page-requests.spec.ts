import { BLOCKING, MAX_DMA } from '@vfiolab/core';
import { MAX_PAGE_REQUESTS } from './function.js';
import { Bench, DEV } from './testing/bench.js';

const PAGE = 4096n;
const done = { ok: true, value: undefined };
const write = (iova: bigint) => ({ bdf: DEV, iova, write: true, length: 4, data: new Uint8Array(4) });

/** Domain 1 is attached, with page requests for a user; nothing is mapped. */
function faultyBench(): Bench {
  const bench = new Bench();
  const endpoint = { bdf: DEV, unit: 0, ats: true, pri: true, pasidBits: 20, pasidCaps: 0 };
  bench.now('configure', { profile: '7.2', units: [], endpoints: [endpoint] });
  bench.now('setup', { kind: 'intel-vtd-scalable', functions: [{ bdf: DEV, group: 1 }] });
  bench.now('domainAlloc', { bdf: DEV, flags: 8 });
  expect(bench.now('attach', { bdfs: [DEV], domain: 1, faults: true })).toEqual(done);
  return bench;
}

const names = (bench: Bench): string[] => bench.calls.map(({ to, method }) => `${to} ${method.name}`);
const requests = (bench: Bench): number => bench.core.figures()['pageRequests']!;
const DEVICE = 'device:0000:00:03_0';

test('a DMA that finds no page asks for it, and its device waits', () => {
  const bench = faultyBench();
  const dma = bench.ask('dma', write(16n * PAGE + 8n));
  expect(bench.calls[0]!.args).toEqual({
    bdf: DEV,
    pasid: 0,
    domain: 1,
    request: 1,
    perm: 2,
    addr: 16n * PAGE + 8n,
  });
  expect(dma.value).toBeUndefined();
  bench.answerCall(true);
  expect(dma.value).toMatchObject({ pending: true, fault: undefined });
  expect([requests(bench), bench.now('faults', { bdf: DEV })]).toEqual([1, []]);
});

test('the answer goes to the device, once', () => {
  const bench = faultyBench();
  bench.ask('dma', write(0n));
  bench.answerCall(true);
  const told = bench.ask('pageResponse', { bdf: DEV, request: 1, success: true });
  expect(names(bench)).toEqual([`${DEVICE} device.pageResponse`]);
  expect(bench.calls[0]!.args).toEqual({ success: true });
  bench.answerCall(undefined);
  expect([told.value, requests(bench)]).toEqual([null, 0]);
  bench.ask('pageResponse', { bdf: DEV, request: 1, success: true });
  bench.ask('pageResponse', { bdf: '0000:00:1f.0', request: 1, success: true });
  expect(names(bench)).toEqual([]);
});

test('nobody answers: the DMA is refused at once', () => {
  const bench = faultyBench();
  const dma = bench.ask('dma', write(0n));
  bench.answerCall(false);
  expect(dma.value?.fault?.reason).toBe('not mapped');
  expect(requests(bench)).toBe(0);
});

test.each([
  ['success: it is tried again', true, undefined, 1],
  ['failure: it is refused', false, 'not mapped', 0],
])('an answer that is there before the device waits, %s', (_what, success, reason, held) => {
  const bench = faultyBench();
  const dma = bench.ask('dma', write(0n));
  bench.now('map', { domains: [1], iova: 0, runs: [{ frame: 9, count: 1 }], prot: 3 });
  bench.ask('pageResponse', { bdf: DEV, request: 1, success });
  bench.answerCall(true);
  expect(bench.held.length).toBe(held);
  expect(dma.value?.fault?.reason).toBe(reason);
  expect(requests(bench)).toBe(0);
});

test('an attachment that goes ends what waits under it, and nothing else', () => {
  const bench = faultyBench();
  bench.now('domainAlloc', { bdf: DEV, flags: 8 });
  bench.now('pasidAttach', { bdf: DEV, pasid: 5, domain: 2, faults: true });
  bench.ask('dma', write(0n));
  bench.answerCall(true);
  bench.ask('dma', { ...write(0n), pasid: 5 });
  bench.answerCall(true);
  const moved = bench.ask('pasidAttach', { bdf: DEV, pasid: 5, domain: BLOCKING });
  expect(bench.calls.map(({ args }) => args)).toEqual([{ success: false }]);
  expect(moved.value).toBeUndefined();
  bench.answerCall(undefined);
  expect([moved.value, requests(bench)]).toEqual([done, 1]);
  bench.ask('attach', { bdfs: [DEV], domain: BLOCKING });
  bench.answerCall(undefined);
  expect([requests(bench), bench.core.check()]).toEqual([0, []]);
});

test(`a device waits for ${MAX_PAGE_REQUESTS} pages at most; one more is refused`, () => {
  const bench = faultyBench();
  for (let i = 0; i < MAX_PAGE_REQUESTS; i++) {
    bench.ask('dma', write(BigInt(i) * PAGE));
    bench.answerCall(true);
  }
  expect(requests(bench)).toBe(MAX_PAGE_REQUESTS);
  const dma = bench.ask('dma', write(0n));
  expect([names(bench), dma.value?.fault?.reason]).toEqual([[], 'not mapped']);
});

test.each([
  ['outside the aperture', 1n << 50n, 4],
  ['msi window', 0xfee00000n, 4],
  [`longer than ${MAX_DMA} bytes`, 0n, MAX_DMA + 1],
])('no page is asked for what is never one: %s', (reason, iova, length) => {
  const bench = faultyBench();
  const dma = bench.ask('dma', { bdf: DEV, iova, write: true, length, data: new Uint8Array(length) });
  expect([names(bench), dma.value?.fault?.reason]).toEqual([[], reason]);
});
