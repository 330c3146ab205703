import { readRules, ruleProblemText } from './read-rule.js';
import { deviceFaultOf } from './rule-values.js';
import { MAX_RULES, type RawRule } from './rule.js';
import { ruleWords } from './rule-words.js';

const problemsOf = (rule: unknown, name = 'a'): string[] =>
  readRules({ [name]: rule as RawRule }).problems.map(ruleProblemText);

test.each<[string, RawRule]>([
  ['delay requests to iommu by 40ms, 20 times at most', { delay: 'requests', to: 'iommu', by: '40ms', times: 20 }],
  [
    'drop answers of pages.pin, from the 2nd on, every 3rd for 10s',
    { drop: 'answers', of: 'pages.pin', nth: 2, every: 3, for: '10s' },
  ],
  ['repeat messages from client:vmm by 5ms', { repeat: 'messages', from: 'client:vmm', by: '5ms' }],
  ['hold events to client, after 0ms', { hold: 'events', to: 'client', after: '0ms' }],
  ['refuse requests with ENOMEM of pages.pin', { refuse: 'requests', of: 'pages.pin', with: 'ENOMEM' }],
  ['refuse requests with EINTR of IOMMU_IOAS_MAP', { refuse: 'requests', of: 'IOMMU_IOAS_MAP', with: 'EINTR' }],
  ['partition iommufd from pages for 500ms', { partition: 'iommufd', from: 'pages', for: '500ms' }],
  ['crash device:0000:41:00.0 at its answers', { crash: 'device:0000:41:00.0', at: 'answers' }],
  ['pause lab, after 2s for 60s', { pause: 'lab', after: '2s', for: '60s' }],
  ['fill-disk container', { 'fill-disk': 'container' }],
  ['break 0000:41:00.0 with slow-link delay=50', { break: '0000:41:00.0', with: 'slow-link', delay: 50 }],
])('%s', (words, raw) => {
  const { rules, problems } = readRules({ a: raw });
  expect(problems).toEqual([]);
  expect(ruleWords(rules[0]!)).toBe(words);
});

test.each<[string, unknown, string]>([
  ['two verbs', { drop: 'requests', hold: 'answers' }, 'a.hold: the rule has 2 verbs. Give exactly one of'],
  ['no verb', { to: 'pages' }, 'a: the rule has 0 verbs'],
  ['a number', 7, 'a: no rule'],
  ['a strange clause', { drop: 'requests', times: 1, by: '1ms' }, 'a.by: drop takes no by. It takes: from, to'],
  ['no frames', { drop: 'packets', times: 1 }, 'a.drop: packets are no frames. Use one of: messages'],
  ['a drop without end', { drop: 'requests' }, 'a: it would never end. Say how often'],
  ['a delay of nothing', { delay: 'requests' }, 'a: by is missing'],
  ['too late', { delay: 'requests', by: '61s' }, 'a.by: 61s cannot be the time here. Give 40ms or 2s, at most 60s'],
  ['too long', { hold: 'requests', for: '3601s' }, 'a.for: 3601s cannot be'],
  ['too often', { drop: 'requests', times: 1_000_001 }, 'a.times: 1000001 is no count'],
  ['half', { drop: 'requests', times: 1.5 }, 'a.times: 1.5 is no count'],
  ['nobody', { drop: 'requests', times: 1, to: 'page' }, 'a.to: nobody is called page'],
  [
    'no such message',
    { drop: 'requests', times: 1, of: 'pages.pinn' },
    'a.of: there is no message or ioctl pages.pinn',
  ],
  ['messages of a method', { drop: 'messages', times: 1, of: 'pages.pin' }, 'a.of: messages have no one meaning'],
  ['refusing answers', { refuse: 'answers', of: 'pages.pin', with: 'ENOMEM' }, 'a.refuse: answers are not refused'],
  ['refusing nothing', { refuse: 'requests', with: 'ENOMEM' }, 'a: of is missing'],
  ['no errno', { refuse: 'requests', of: 'pages.pin', with: 'ESILLY' }, 'a.with: ESILLY is no errno'],
  [
    'an errno that the kernel has not there',
    { refuse: 'requests', of: 'pages.pin', with: 'EPERM' },
    'a.with: pages.pin does not fail with EPERM. Use one of: EFAULT, ENOMEM',
  ],
  ['undoing', { refuse: 'requests', of: 'pages.unpin', with: 'ENOMEM' }, 'a.of: nobody can refuse pages.unpin'],
  ['close(2)', { refuse: 'requests', of: 'sys.close', with: 'EIO' }, 'a.of: nobody can refuse sys.close'],
  ['a partition for ever', { partition: 'pages' }, 'a: for is missing'],
  ['crashing a client', { crash: 'client' }, 'a.crash: nobody is called client'],
  ['a strange moment', { crash: 'pages', at: 'noon' }, 'a.at: noon is no moment'],
  ['occurrences of nothing', { crash: 'pages', nth: 2 }, 'a.nth: it has no occurrence'],
  ['no device', { break: 'gpu', with: 'link-down' }, 'a.break: gpu names no device'],
  ['no fault', { break: '0000:41:00.0', with: 'smoke' }, 'a.with: There is no fault "smoke"'],
])('is refused: %s', (_what, rule, problem) => expect(problemsOf(rule)[0]).toContain(problem));

test('a name is small letters, digits and -', () => {
  const rule = { drop: 'requests', times: 1 };
  expect(problemsOf(rule, 'a'.repeat(31))).toEqual([]);
  for (const name of ['A', '1', 'a'.repeat(32), '']) expect(problemsOf(rule, name)).toHaveLength(1);
});

test('a plan has so many rules at most', () => {
  const many = (n: number): Record<string, RawRule> =>
    Object.fromEntries(Array.from({ length: n }, (_, i) => [`r${i}`, { drop: 'requests', times: 1 }]));
  expect(readRules(many(MAX_RULES)).problems).toEqual([]);
  expect(readRules(many(MAX_RULES), 1).problems.map(ruleProblemText)).toEqual([
    '65 rules are too many. A plan has at most 64 rules.',
  ]);
});

test('addresses in hex are whole', () => {
  const fault = deviceFaultOf({ break: '0000:41:00.0', with: 'dma-storm', iova: '0xfffffffffffff000', count: 1 });
  expect(fault.iova).toBe(0xfffffffffffff000n);
});
