import { type Answer, failure, success } from './actions/action.js';
import { judge } from './judge.js';
import type { Expect } from './scenario.js';

const variables = new Map([['x', 0x1000n]]);
const bytes = Uint8Array.of(1, 2);
const good = success('0', {
  ret: 0n,
  out: { iova: 0x1000n, flags: 0xffffffffn },
  data: bytes,
  text: 'yes',
  entries: ['a', 'b'],
  faults: [{ iova: 5n, write: true, reason: 'not mapped' }],
});

describe('accepted', () => {
  test.each<[string, Expect, Answer]>([
    ['success without expectation', {}, good],
    ['the errno', { errno: 'EINVAL' }, failure('EINVAL')],
    ['a number', { ret: '0x0' }, good],
    ['a field by a variable', { out: { iova: '$x' } }, good],
    ['all ones as -1', { out: { flags: -1 } }, good],
    ['bytes in hex', { data: '01 02' }, good],
    ['text', { text: 'yes' }, good],
    ['a list', { entries: ['a', 'b'] }, good],
    ['a list of records, by some of their fields', { faults: [{ iova: 5, write: true }] }, good],
  ])('%s', (_rule, expected, answer) => expect(judge(expected, answer, variables)).toBeUndefined());
});

describe('refused, with what was expected and what came', () => {
  test.each<[string, Expect, Answer, string, string]>([
    ['a failure that nobody expected', {}, failure('EBUSY'), 'success', 'EBUSY'],
    ['success where an errno was expected', { errno: 'EPERM' }, good, 'EPERM', 'success: 0'],
    ['another errno', { errno: 'EPERM' }, failure('EBUSY'), 'EPERM', 'EBUSY'],
    ['another number', { ret: 1 }, good, 'ret 1', 'ret 0'],
    ['another field', { out: { iova: '$x+1' } }, good, 'out.iova 0x1001', 'out.iova 0x1000'],
    ['other bytes', { data: '0103' }, good, 'data 0103', 'data 01 02'],
    ['other text', { text: 'no' }, good, 'text no', 'text yes'],
    ['a shorter list', { entries: ['a'] }, good, 'entries with 1 entries: [a]', 'entries [a, b]'],
    ['another entry', { entries: ['a', 'c'] }, good, 'entries[1] c', 'entries[1] b'],
    [
      'another field of a record',
      { faults: [{ iova: 6, write: true }] },
      good,
      'faults[0].iova 0x6',
      'faults[0].iova 0x5',
    ],
    ['another truth', { faults: [{ iova: 5, write: false }] }, good, 'faults[0].write false', 'faults[0].write true'],
    ['a fact that the answer does not have', { count: 1 }, good, 'count 1', 'count nothing'],
  ])('%s', (_rule, expected, answer, wanted, got) =>
    expect(judge(expected, answer, variables)).toEqual({ expected: wanted, got }),
  );
});
