/**
 * The container service.
 *
 * Rule: everything it does is in its core; this file only starts it.
 */
import { makeCore } from '@vfiolab/host';
import { bootstrap } from '@vfiolab/shell';

await bootstrap('container', makeCore);
