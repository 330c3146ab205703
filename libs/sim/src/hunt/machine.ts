/** Where the hunts take place: a machine of the catalogue. */
import { findMachine, readMachine } from '@vfiolab/scenario';
import { World, type WorldOptions } from './world.js';

const MACHINE = 'imac-cometlake';
/** Two functions of one group, and one that is alone in its own. */
const FUNCTIONS = ['0000:00:1e.0', '0000:00:1e.1', '0000:00:12.0'];

export async function boot(options: Omit<WorldOptions, 'machine' | 'bdfs'>): Promise<World> {
  const file = findMachine(MACHINE, '.');
  if (file === undefined) throw new Error(`the catalogue has no machine ${MACHINE}`);
  return World.boot({ machine: readMachine(file), bdfs: options.kind === 'devices' ? FUNCTIONS : [], ...options });
}
