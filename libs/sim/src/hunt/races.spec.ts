import { race } from './races.js';
import { COMPAT, FUNCTIONS, LAST_DEVICE, OBJECTS, PASIDS } from './stages.js';
import { boot } from './machine.js';

// Half a hop: the second call then meets the first one's messages between two places, never at the same moment.
it.each([
  [OBJECTS, 'mock', [2.5]],
  [LAST_DEVICE, 'mock', [0.5, 4.5]],
  [COMPAT, 'mock', [2.5, 6.5]],
  [PASIDS, 'mock', [0.5, 2.5]],
  [FUNCTIONS, 'devices', [2.5]],
] as const)(
  'two calls at the same time: $name',
  async (stage, kind, lags) => {
    const { races, findings } = await race({ boot: () => boot({ kind }), stage, lags });
    expect(findings).toEqual([]);
    expect(races).toBeGreaterThan(80);
  },
  60_000,
);
