/** Where the tests look for a QEMU that was fetched: VFIOLAB_QEMU, or a folder of the user's cache. */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** @returns {string} */
export const qemuFolder = () =>
  process.env['VFIOLAB_QEMU'] ||
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'vfiolab', 'qemu-x86_64');
