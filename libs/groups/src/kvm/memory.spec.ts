import { GuestMemory } from './memory.js';
import { traitsOf } from './arch.js';

const PAGE = 0x1000n;
const X86 = traitsOf({ processors: 'x86' });
const region = (slot: number, guest: bigint, bytes: bigint, va = 0x10000n, flags = 0) => ({
  slot,
  flags,
  guest_phys_addr: guest,
  memory_size: bytes,
  userspace_addr: va,
});

function memory(traits = X86) {
  const all = new GuestMemory();
  const set = (...args: Parameters<typeof region>) => {
    const done = all.set(region(...args), traits, 12);
    return done.ok ? 'ok' : done.errno;
  };
  return { all, set };
}

it.each<[string, Parameters<typeof region>]>([
  ['flags', [0, 0n, PAGE, 0x10000n, 4]],
  ['half a page', [0, 0n, PAGE / 2n]],
  ['a guest address within a page', [0, 1n, PAGE]],
  ['an address within a page', [0, 0n, PAGE, 1n]],
  ['addresses behind those of programs', [0, 0n, PAGE, 1n << 47n]],
  ['an address space that is not there', [0x20000, 0n, PAGE]],
  ['a slot that is not there', [32767, 0n, PAGE]],
  ['the end of guest addresses', [0, (1n << 64n) - PAGE, 2n * PAGE]],
  ['more pages than a slot has', [0, 0n, 1n << 43n]],
  ['nothing, to be deleted', [0, 0n, 0n]],
])('EINVAL: %s', (_what, args) => expect(memory().set(...args)).toBe('EINVAL'));

it('slots do not overlap in one address space; they move, and go', () => {
  const { all, set } = memory();
  expect([set(0, 0n, 2n * PAGE), set(1, PAGE, PAGE), set(0x10001, PAGE, PAGE)]).toEqual(['ok', 'EEXIST', 'ok']);
  expect([set(1, 2n * PAGE, PAGE, 0x40000n), set(0, PAGE, 2n * PAGE), set(0, 8n * PAGE, 2n * PAGE)]).toEqual([
    'ok',
    'EEXIST',
    'ok',
  ]);
  expect([all.addressOf(0n), all.addressOf(9n * PAGE + 5n), all.addressOf(2n * PAGE)]).toEqual([
    undefined,
    0x11005n,
    0x40000n,
  ]);
  expect([set(0, 0n, 0n), all.addressOf(9n * PAGE), set(0, 0n, 0n)]).toEqual(['ok', undefined, 'EINVAL']);
});

it('EINVAL: a slot keeps its memory, its length, and whether it can be written', () => {
  const { set } = memory();
  expect(set(0, 0n, PAGE)).toBe('ok');
  expect([set(0, 0n, PAGE), set(0, 0n, PAGE, 0x10000n, 1), set(0, PAGE, PAGE, 0x10000n, 1)]).toEqual([
    'ok',
    'ok',
    'ok',
  ]);
  expect([set(0, 0n, 2n * PAGE), set(0, 0n, PAGE, 0x20000n), set(0, 0n, PAGE, 0x10000n, 2)]).toEqual([
    'EINVAL',
    'EINVAL',
    'EINVAL',
  ]);
});

it('POWER has no read-only slots, and one address space', () => {
  const { set } = memory(traitsOf({ processors: 'power' }));
  expect([set(0, 0n, PAGE, 0x10000n, 2), set(0x10000, 0n, PAGE), set(0, 0n, PAGE)]).toEqual(['EINVAL', 'EINVAL', 'ok']);
});

it.each([
  ['x86', 0, 1],
  ['arm64', 40, 49],
  ['arm64', 0, 31],
  ['power', 2, 3],
  ['s390', 1, 2],
] as const)('%s makes VMs of type %i, and not of type %i', (processors, good, bad) => {
  const traits = traitsOf({ processors });
  expect([traits.acceptsType(good), traits.acceptsType(bad)]).toEqual([true, false]);
});
