import { IOMMU_IOAS_CHANGE_PROCESS } from '@vfiolab/uapi';
import { Lab, NOTHING, user } from './support/lab.js';
import { APERTURE, PAGE, type Program } from './support/program.js';

const PAGES = 8;

/** `a` has mapped a memfd in three pieces in two IOAS with domains; `b` has the same /dev/iommu. */
async function setup(limitOfB: number, uidOfB = 1001) {
  const lab = await Lab.mock();
  const a = await lab.program('a', user(1000, 64 * PAGE));
  const b = await lab.process('b', user(uidOfB, limitOfB));
  b.fd = await a.send(a.fd, b);
  const fd = await a.memfd(PAGES * PAGE);
  const [one, two] = [await a.ioas(), await a.ioas()];
  for (const ioas of [one, two]) await a.mock(ioas);
  const half = (PAGES / 2) * PAGE;
  expect(await a.mapFile(one, APERTURE, fd, 0, half)).toBeUndefined();
  expect(await a.mapFile(one, APERTURE + 0x100000n, fd, half, half)).toBeUndefined();
  // The same store: it is charged once, and moves once.
  expect(await a.copy(one, APERTURE, two, APERTURE, half)).toBeUndefined();
  return { lab, a, b, one };
}

const change = (p: Program) => p.errno(IOMMU_IOAS_CHANGE_PROCESS);
const none = { pinned: 0, locked: 0, user: 0 };
const all = { pinned: PAGES, locked: 0, user: PAGES };

it('87: CHANGE_PROCESS moves VmPin and the charge of all files to the caller', async () => {
  const { lab, a, b } = await setup(PAGES * PAGE);
  expect([await a.counters(), await b.counters()]).toEqual([all, none]);
  expect(await change(b)).toBeUndefined();
  expect([await a.counters(), await b.counters()]).toEqual([none, all]);
  // Nothing depends on the old process any more.
  await a.exit();
  expect(await b.counters()).toEqual(all);
  expect(await change(b)).toBeUndefined();
  expect(await b.counters()).toEqual(all);
  expect(await lab.afterwards(b)).toEqual(NOTHING);
});

it('87: it moves all or nothing: one page too little in the limit, or one mapping of memory that cannot move', async () => {
  const { lab, a, b } = await setup((PAGES - 1) * PAGE);
  expect(await change(b)).toBe('ENOMEM');
  expect([await a.counters(), await b.counters()]).toEqual([all, none]);
  expect(await lab.afterwards(a, b)).toEqual(NOTHING);

  const other = await setup(64 * PAGE);
  expect(await other.a.map(other.one, APERTURE + 0x200000n, await other.a.memory(PAGE), PAGE)).toBeUndefined();
  expect(await change(other.b)).toBe('EINVAL');
  expect([await other.a.counters(), await other.b.counters()]).toEqual([{ pinned: 9, locked: 0, user: 9 }, none]);
  expect(await other.lab.afterwards(other.a, other.b)).toEqual(NOTHING);
});

it('87: whenever one looks while they move, all pages are at the one or all at the other', async () => {
  const { lab, a, b } = await setup(64 * PAGE);
  const seen = new Set<string>();
  for (let n = 0; n < 24; n++) {
    const [from, to] = n % 2 === 0 ? [a, b] : [b, a];
    const [errno, first, second] = await lab.host.together(() => {
      const later = lab.host.pause(n * 0.02 + 0.01);
      return Promise.all([change(to), later.then(() => from.counters()), later.then(() => to.counters())]);
    });
    expect(errno).toBeUndefined();
    expect([first.pinned + second.pinned, first.user + second.user]).toEqual([PAGES, PAGES]);
    seen.add(`${first.pinned} ${second.pinned}`);
  }
  expect(seen).toEqual(new Set([`${PAGES} 0`, `0 ${PAGES}`]));
  expect(await lab.afterwards(a, b)).toEqual(NOTHING);
});
