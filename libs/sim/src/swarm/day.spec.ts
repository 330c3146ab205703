import { dayPlan } from './day.js';
import { swarm } from './swarm.js';

const MINUTES_MS = 480_000;

it('some minutes of a lab are clean, and goes on under all kinds of trouble', async () => {
  const { options, ...whole } = dayPlan(1);
  const plan = { ...whole, options: { ...options, horizonMs: MINUTES_MS }, troubleMs: MINUTES_MS };
  let now = 0;
  const run = await swarm(2, { plan, onTime: (ms) => void (now = ms) });
  expect(run.findings).toEqual([]);
  expect(run.virtualSeconds).toBeGreaterThan(MINUTES_MS / 1000);
  expect(run.counts['programs']).toBeGreaterThan(3);
  expect(run.counts['crashes']).toBeGreaterThan(5);
  expect(new Set(run.faults.map((name) => name.split(' ')[0]))).toEqual(
    new Set([
      'lose',
      'double',
      'delay',
      'crash',
      'cut',
      'clog',
      'pause',
      'slow-disk',
      'full-disk',
      'jump',
      'power',
      'kill',
    ]),
  );
  expect(now / 1000).toBeCloseTo(run.virtualSeconds, 0);
});
