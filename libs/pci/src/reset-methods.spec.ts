import { resetMethods } from './reset-methods.js';

/** Config space with capabilities, each at its offset with the bytes from its header on. */
function config(caps: Readonly<Record<number, readonly number[]>>): Uint8Array {
  const bytes = new Uint8Array(256);
  bytes[0x06] = 0x10;
  let link = 0x34;
  for (const [offset, data] of Object.entries(caps)) {
    bytes[link] = Number(offset);
    bytes.set(data, Number(offset));
    link = Number(offset) + 1;
  }
  return bytes;
}

const FLR = [0x10, 0, 2, 0, 0, 0, 0, 0x10];
const NO_FLR = [0x10, 0, 2, 0, 0, 0, 0, 0];
const PM = [0x01, 0, 3, 0, 0, 0];
const PM_KEEPS = [0x01, 0, 3, 0, 8, 0];
const AF = [0x13, 0, 6, 3];
const AF_HALF = [0x13, 0, 6, 2];

test.each<[string, Record<number, readonly number[]>, boolean, string[]]>([
  ['nothing', {}, false, []],
  ['alone on its bus', {}, true, ['bus']],
  [
    'everything, in the order in which it is tried',
    { 0x40: PM, 0x50: AF, 0x60: FLR },
    true,
    ['flr', 'af_flr', 'pm', 'bus'],
  ],
  ['capabilities that cannot reset', { 0x40: PM_KEEPS, 0x50: AF_HALF, 0x60: NO_FLR }, false, []],
])('%s', (_what, caps, alone, methods) => {
  expect(resetMethods(config(caps), alone)).toEqual(methods);
});
