import { deviceApi } from '@vfiolab/core';
import { boundBench } from './testing/client.js';
import { E1000E } from './testing/functions.js';

const TABLE = 3 * 2 ** 40;
const [MSIX, ENTRY] = [2, 16];

/** Entries of the table as a process sees them that has mapped the BAR, after two vectors were given eventfds. */
function entries(more: Partial<typeof E1000E>): string[] {
  const { c, dev } = boundBench({ ...E1000E, ...more });
  if (c.setEventfds(dev, MSIX, 0, [10, -1]) !== undefined) throw new Error('no vectors');
  return [0, 1, 2].map((vector) => {
    const read = c.h.ask(deviceApi.load, { token: dev, offset: TABLE + vector * ENTRY, length: ENTRY }, c.address);
    return read.ok ? Buffer.from(read.value).toString('hex') : read.errno;
  });
}

const EMPTY = '00'.repeat(12) + '01000000';

it.each([
  [
    'the data is the vector (AMD-Vi, trace b053)',
    {},
    ['0000e0fe000000000000000000000000', '0000e0fe000000000100000001000000'],
  ],
  [
    'the address has the handle (VT-d, trace b053)',
    { messages: 'handle' as const },
    ['1800e0fe000000000000000000000000', '3800e0fe000000000000000001000000'],
  ],
  [
    'the data is a vector of a processor; what nobody asked for has the one that is shut (no remapping)',
    { messages: 'vector' as const },
    ['0000e0fe000000002100000000000000', '0000e0fe00000000ef00000001000000'],
  ],
  [
    'above 4 GiB (PHB4, trace d053)',
    { msiAddress: 1n << 60n },
    ['00000000000000100000000000000000', '00000000000000100100000001000000'],
  ],
])('%s', (_name, more, used) => expect(entries(more)).toEqual([...used, EMPTY]));
