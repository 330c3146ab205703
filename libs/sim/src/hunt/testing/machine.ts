/** Where the hunts of the tests take place. Only for tests. */
import { readFileSync } from 'node:fs';
import { World, type WorldOptions } from '../world.js';

const machine = readFileSync(new URL('../../../../../test/machines/imac-cometlake.json', import.meta.url), 'utf8');

/** Two functions of one group, and one that is alone in its own. */
const FUNCTIONS = ['0000:00:1e.0', '0000:00:1e.1', '0000:00:12.0'];

export const boot = (options: Omit<WorldOptions, 'machine' | 'bdfs'>): Promise<World> =>
  World.boot({ machine, bdfs: options.kind === 'devices' ? FUNCTIONS : [], ...options });
