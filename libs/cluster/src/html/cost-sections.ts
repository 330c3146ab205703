/** What a start costs: as it was measured, and by the model. */
import { FASTIOV, modelledLock, modelledPin, PIN_MEASUREMENTS } from '../measured.js';
import { lineChart } from './charts.js';
import { table } from './markup.js';
import { type Section, section } from './section.js';

export function pinning(): Section | undefined {
  const rows = PIN_MEASUREMENTS.map((row) => {
    const modelled = modelledPin(row);
    const pairs = (['pin', 'init', 'padataPin', 'padataInit'] as const).flatMap((column) => [
      row[column].toFixed(1),
      modelled[column].toFixed(1),
    ]);
    return [`${row.processor} ${row.pages}`, String(row.threads), `${row.gib} GiB`, ...pairs];
  });
  const pairs = ['pin', 'ready', 'pin, padata', 'ready, padata'].flatMap((each) => [`${each} s`, 'model s']);
  return section(
    'pinning',
    'Pinning memory: measured and modelled',
    table('Seconds to pin a guest’s memory, and until its process is ready; with padata the kernel uses 16 threads', [
      ['memory', 'threads that preallocate', 'size', ...pairs],
      ...rows,
    ]),
  );
}

export function lock(): Section | undefined {
  const modelled = modelledLock(FASTIOV.guests, FASTIOV.gib);
  const row = (what: string, measured: number, model: number): string[] => [
    what,
    `${measured.toFixed(1)} %`,
    `${model.toFixed(1)} %`,
  ];
  const counts = [1, 10, 20, 50, 100, 150, FASTIOV.guests];
  return section(
    'devset',
    'Guests that start at once: the lock of the device set',
    table(`${FASTIOV.guests} guests of ${FASTIOV.gib} GiB at once, each with a VF of one PF (FastIOV)`, [
      ['part of the start', 'measured', 'model'],
      row('lock of the device set, mean', FASTIOV.lockMean, modelled.lockMean),
      row('lock of the device set, 99th percentile', FASTIOV.lockP99, modelled.lockP99),
      row('mapping memory, mean', FASTIOV.mapMean, modelled.mapMean),
    ]),
    lineChart(
      {
        title: 'The lock’s part grows with the guests that start at once',
        about: 'VFs of one PF are one device set: each opening waits for the one before.',
        x: { title: 'guests at once', from: 0 },
        y: { title: 'of the start, %', from: 0 },
      },
      [
        { name: 'mean', points: counts.map((count) => [count, modelledLock(count, FASTIOV.gib).lockMean] as const) },
        {
          name: '99th percentile',
          points: counts.map((count) => [count, modelledLock(count, FASTIOV.gib).lockP99] as const),
        },
      ],
    ),
  );
}
