/** Mistakes that are made on purpose: a swarm finds each, and says what it takes. */
import { Session } from '@vfiolab/core';
import { SimJournal } from '../sim-journal.js';
import { huntSwarm } from './hunt.js';

const MOST_SEEDS = 60;
const MOST_FAULTS = 15;

/** The first seed that finds something, and the faults that it takes. */
async function search(): Promise<{ findings: readonly string[]; faults: readonly string[] }> {
  for (let seed = 1; seed <= MOST_SEEDS; seed++) {
    const { findings, drawn } = await huntSwarm(seed);
    if (findings.length > 0) return { findings, faults: drawn['faults'] as readonly string[] };
  }
  throw new Error(`not found by ${MOST_SEEDS} seeds`);
}

const undo: (() => void)[] = [];
afterEach(() => undo.splice(0).forEach((each) => each()));

function replace<T extends object, K extends keyof T>(of: T, name: K, make: (was: T[K]) => T[K]): void {
  const was = of[name];
  of[name] = make(was);
  undo.push(() => void (of[name] = was));
}

it('a request that comes again is carried out again', async () => {
  replace(
    Session.prototype,
    'admit',
    (was) =>
      function (this: Session, id, floor, epoch) {
        const found = was.call(this, id, floor, epoch);
        return found.kind === 'answered' ? { kind: 'new' } : found;
      },
  );
  const { findings, faults } = await search();
  expect(findings.length).toBeGreaterThan(0);
  expect(faults.length).toBeGreaterThan(0);
  expect(faults.length).toBeLessThanOrEqual(MOST_FAULTS);
}, 120_000);

it('the last record is lost when a service crashes', async () => {
  replace(
    SimJournal.prototype,
    'load',
    (was) =>
      function (this: SimJournal) {
        if (this.records.length > 3) this.losePower(this.records.length - 1);
        return was.call(this);
      },
  );
  const { findings, faults } = await search();
  expect(findings.length).toBeGreaterThan(0);
  expect(faults.length).toBeLessThanOrEqual(MOST_FAULTS);
}, 120_000);
