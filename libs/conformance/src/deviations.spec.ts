import { differences } from './compare.js';
import { deviationOf, DEVIATIONS } from './deviations.js';
import { done } from './outcome.js';
import { readTrace } from './read-trace.js';
import { Tally } from './report.js';
import type { Json } from './trace.js';

const out = (hex: string): Json => ({ data: { hex } });

/** The deviation of a GET_DIRTY_BITMAP that was recorded with one bitmap and answered with another. */
function found(
  recorded: Json,
  got: Json | undefined,
  { machine = 'A-mock', kernel = '7.2.13', ret = 0, req = '' } = {},
) {
  const header = { format: 'vfio-oracle-trace/1', name: 't', title: '', machine, kernel, tags: [] };
  const step = { i: 0, op: 'ioctl', fd: 3, req: req || 'IOMMU_HWPT_GET_DIRTY_BITMAP', in: {}, ret: 0, out: recorded };
  const trace = readTrace([header, step].map((line) => JSON.stringify(line)).join('\n'), 't');
  const answer = done(ret, got === undefined ? {} : { out: got });
  return deviationOf(trace, trace.steps[0]!, differences(trace, trace.steps[0]!, answer))?.name;
}

it('each has a reason', () => {
  for (const { name, reason } of DEVIATIONS) expect([name, reason.length > 20]).toEqual([name, true]);
});

describe('dirty bits of neighbouring pages', () => {
  const NAME = 'dirty bits of neighbouring pages';
  it.each<[string, string, Json | undefined, string | undefined]>([
    ['an entry of two pages', '0500000000000070', out('0500000000000050'), NAME],
    ['one that goes on to the end', '00000000000000f0', out('0000000000000050'), NAME],
    ['the same', '05', out('05'), undefined],
    ['a run without a bit of the lab', '0700007000', out('0500000000'), undefined],
    ['the last run without one', '070070', out('050000'), undefined],
    ['a bit of the lab that was not recorded', '0700', out('0510'), undefined],
    ['no bits in the lab', '07', undefined, undefined],
    ['another field too', '07', { data: { hex: '05' }, length: 1 }, undefined],
    ['no bitmap', '07', { data: {} }, undefined],
  ])('%s', (_what, recorded, got, name) => expect(found(out(recorded), got)).toBe(name));

  it.each([
    ['another machine', { machine: 'B-type1' }],
    ['before 7.2', { kernel: '6.12.117' }],
    ['another result that differs', { ret: -1 }],
    ['another ioctl', { req: 'IOMMU_IOAS_UNMAP' }],
  ])('not on %s', (_what, where) => expect(found(out('07'), out('05'), where)).toBeUndefined());
});

it('are counted apart', () => {
  const { name } = DEVIATIONS[0]!;
  const tally = new Tally();
  const deviations = [3, 5].map((step) => ({ step, name }));
  const mismatch = { trace: 'u', step: 1, field: 'ret', expected: 0, got: -1, words: 'close(3)' };
  tally.add('g', { trace: 't', steps: 6, stepsMatched: 4, mismatches: [], deviations });
  tally.add('g', { trace: 'u', steps: 6, stepsMatched: 3, mismatches: [mismatch], deviations });
  expect(tally.report()).toMatchObject({
    traces: 2,
    tracesMatched: 0,
    steps: 12,
    stepsMatched: 7,
    deviations: [{ name, steps: 4, traces: 1, example: 't:3' }],
  });
});
