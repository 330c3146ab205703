import { BLOCKING, KERNEL } from '@vfiolab/core';
import { VTD_48 } from './formats.js';
import { Domains } from './domain.js';
import { checkUnit, describeUnit, figuresOf } from './inspect.js';
import { MAX_FAULTS, MAX_FUNCTIONS, Unit } from './unit.js';

const A = '0000:00:03.0';
const B = '0000:00:04.0';
const VTD = { format: VTD_48, flags: 0 };

function host(): { unit: Unit; domains: Domains } {
  const unit = new Unit();
  const domains = new Domains();
  unit.setup('intel-vtd', [
    { bdf: A, group: 1 },
    { bdf: B, group: 2 },
  ]);
  const domain = domains.make(10, VTD)!;
  domain.table.map(1, 1, 1, 3);
  unit.group(1).attached = domain.id;
  domain.attached = 1;
  return { unit, domains };
}
type Host = ReturnType<typeof host>;

test('a sound state has no problems', () => {
  const { unit, domains } = host();
  expect(checkUnit(unit, domains)).toEqual([]);
});

test.each([
  ['a group attached to a freed domain', ({ unit }: Host) => (unit.group(2).attached = 7), /I01: group 2 .* domain 7/],
  [
    'a function in a group that does not name it',
    ({ unit }: Host) => unit.group(2).members.splice(0),
    /I08: 0000:00:04.0/,
  ],
  [
    'a group that names another group’s function',
    ({ unit }: Host) => unit.group(2).members.push(A),
    /I08: group 2 names/,
  ],
  [
    'a count of attached groups that is wrong',
    ({ domains }: Host) => (domains.get(1)!.attached = 2),
    /counts 2 groups, 1/,
  ],
  ['a DMA that nobody runs', ({ domains }: Host) => domains.get(1)!.inFlight.begin(), /I05: domain 1 waits/],
  [
    'a PTE beyond the aperture',
    ({ domains }: Host) => domains.get(1)!.table.map(2 ** 36, 1, 1, 3),
    /I03: .* beyond its aperture/,
  ],
  ['a PTE without permission', ({ domains }: Host) => domains.get(1)!.table.map(2, 1, 1, 0), /I03: .* no permission/],
  ['a freed domain that never drained', ({ domains }: Host) => domains.retire(domains.make(10, VTD)!), /I04: domain 2/],
  [
    'a page request of a PASID that is gone',
    ({ unit }: Host) => unit.functions.get(A)!.requests.set(1, { pasid: 3, waits: true, answer: undefined }),
    /I49: 0000:00:03.0 waits for a page of a PASID/,
  ],
  [
    'a page request of a device that is attached to nothing',
    ({ unit }: Host) => unit.functions.get(B)!.requests.set(1, { pasid: 0, waits: true, answer: undefined }),
    /I49: 0000:00:04.0 waits for pages/,
  ],
  [
    'more faults than are kept',
    ({ unit }: Host) => {
      for (let i = 0; i <= MAX_FAULTS; i++)
        unit.functions.get(A)!.faults.push({ bdf: A, iova: 0n, write: false, reason: 'x' });
    },
    /keeps 257 faults/,
  ],
])('is reported: %s', (_rule, damage, words) => {
  const state = host();
  damage(state);
  expect(checkUnit(state.unit, state.domains).join('\n')).toMatch(words);
});

test('lines for people: the unit, each group, each domain, the last fault', () => {
  const { unit, domains } = host();
  unit.group(2).attached = BLOCKING;
  unit.record({ bdf: B, iova: 0x1000n, write: true, reason: 'blocking' });
  expect(describeUnit(unit, domains)).toEqual([
    'iommu intel-vtd: 2 functions in 2 groups',
    `group 1: domain 1: ${A}`,
    `group 2: blocking: ${B}`,
    'domain 1: 4096 bytes mapped, 1 tables, 1 groups attached',
    `${B}: 1 faults, last: write at 0x1000: blocking`,
  ]);
  expect(describeUnit(new Unit(), new Domains())).toEqual(['iommu not set up: 0 functions in 0 groups']);
});

test('figures are what users hold, and 0 when they are gone', () => {
  const { unit, domains } = host();
  expect(figuresOf(unit, domains)).toEqual({ domains: 1, mappedPages: 1, pageRequests: 0, parked: 0, ownedGroups: 1 });
  unit.group(1).attached = KERNEL;
  domains.retire(domains.get(1)!);
  expect(figuresOf(unit, domains)).toEqual({ domains: 0, mappedPages: 0, pageRequests: 0, parked: 0, ownedGroups: 0 });
});

test('functions beyond the bound stay unknown', () => {
  const unit = new Unit();
  const functions = Array.from({ length: MAX_FUNCTIONS + 1 }, (_, i) => ({ bdf: `f${i}`, group: i }));
  unit.setup('intel-vtd', functions);
  expect(unit.functions.size).toBe(MAX_FUNCTIONS);
  expect(unit.functions.has(`f${MAX_FUNCTIONS}`)).toBe(false);
});
