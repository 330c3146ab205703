import { ByteReader, ByteWriter } from '@vfiolab/core';
import type { Session } from '../migration/session.js';
import { HEADER_BYTES, SerialMigration } from './serial-migration.js';
import { SerialPort } from './serial-port.js';

const [STOP, RUNNING, STOP_COPY, RESUMING, PRE_COPY] = [1, 2, 3, 4, 6];
const EINVAL = { opened: undefined, errno: 'EINVAL' };

function card(ports = 1) {
  const own = Array.from({ length: ports }, () => new SerialPort());
  const m = new SerialMigration(own);
  const open = (to: number): Session => m.walk(to).opened!;
  return { m, own, open, all: (session: Session) => m.read(session, 1000) };
}

const bytesOf = (r: ReturnType<SerialMigration['read']>): Uint8Array => (r.ok ? r.value : new Uint8Array(0));
/** A whole state of a card with a byte in its FIFO. */
function saved(ports = 1): Uint8Array {
  const { m, own, open, all } = card(ports);
  own[0]!.write(0, 0x41);
  const bytes = bytesOf(all(open(STOP_COPY)));
  expect(bytes.length).toBe(m.imageBytes);
  return bytes;
}

test.each([
  [1, 60],
  [2, 96],
])('%i ports are a state of %i bytes, with the header before them', (ports, length) => {
  const bytes = saved(ports);
  expect([bytes.length, Buffer.from(bytes.subarray(0, HEADER_BYTES)).toString('hex')]).toEqual([
    length,
    `4e2c3e8c89099d7e01000000000000000${ports}00000000000000`,
  ]);
});

test('PRE_COPY has the header, STOP_COPY adds the ports to the same session', () => {
  const { m, own, open, all } = card();
  const session = open(PRE_COPY);
  expect(m.precopyInfo(session)).toEqual({ ok: true, value: { initial: 24, dirty: 0, anew: false } });
  expect(bytesOf(m.read(session, 20)).length).toBe(20);
  expect(m.precopyInfo(session)).toMatchObject({ value: { initial: 4 } });
  expect([bytesOf(all(session)).length, bytesOf(all(session)).length]).toEqual([4, 0]);
  own[0]!.write(7, 0x5a);
  expect(m.walk(STOP_COPY)).toEqual({ opened: undefined, errno: undefined });
  expect(m.precopyInfo(session)).toMatchObject({ errno: 'EINVAL' });
  expect(bytesOf(all(session))).toEqual(own[0]!.state);
});

test('a card that got the state of another is equal to it', () => {
  const { m, own, open } = card();
  const session = open(RESUMING);
  const bytes = saved();
  for (const byte of bytes) expect(m.write(session, Uint8Array.of(byte))).toEqual({ ok: true, value: 1 });
  expect([m.walk(RUNNING), own[0]!.read(0).value]).toEqual([{ opened: undefined, errno: undefined }, 0x41]);
});

test.each([
  ['magic', 0],
  ['version', 8],
  ['ports', 16],
  ['flags', 20],
])('a header with another %s is EFAULT when it is complete, and counts as come', (_what, at) => {
  const { m, open } = card();
  const session = open(RESUMING);
  const bytes = saved();
  bytes[at]! ^= 1;
  expect(m.write(session, bytes.subarray(0, 23))).toMatchObject({ ok: true });
  expect(m.write(session, bytes.subarray(23, 24))).toMatchObject({ errno: 'EFAULT' });
  expect(m.write(session, bytes.subarray(24))).toMatchObject({ ok: true });
  expect(m.walk(STOP).errno).toBeUndefined();
});

test('more than a state is ENOMEM, less of one keeps the card in RESUMING', () => {
  const { m, open } = card();
  const session = open(RESUMING);
  const bytes = saved();
  m.write(session, bytes.subarray(0, 59));
  expect([m.walk(RUNNING), m.state]).toEqual([EINVAL, RESUMING]);
  expect(m.write(session, bytes.subarray(0, 2))).toMatchObject({ errno: 'ENOMEM' });
  expect(m.write(session, bytes.subarray(59))).toMatchObject({ ok: true });
  expect(m.walk(RUNNING).errno).toBeUndefined();
});

test('sessions of the wrong direction, and ended ones', () => {
  const { m, open } = card();
  const saving = open(STOP_COPY);
  expect(m.write(saving, new Uint8Array(1))).toMatchObject({ errno: 'EBADF' });
  const resuming = open(RESUMING);
  expect([m.read(saving, 1), m.read(resuming, 1)]).toMatchObject([{ errno: 'ENODEV' }, { errno: 'EBADF' }]);
  m.restart();
  expect([61, 60].map((n) => m.write(resuming, new Uint8Array(n)))).toMatchObject([
    { errno: 'ENOMEM' },
    { errno: 'ENODEV' },
  ]);
});

test.each([
  [RESUMING, STOP, EINVAL],
  [PRE_COPY, 7, { opened: undefined, errno: undefined }],
  [STOP_COPY, STOP, { opened: undefined, errno: undefined }],
])('the last close keeps state %i and ends its session', (state, next, walked) => {
  const { m, open } = card();
  const session = open(state);
  m.close();
  expect([m.state, m.session, session.ended, m.check()]).toEqual([state, undefined, true, []]);
  expect(m.walk(next)).toEqual(walked);
  m.restart();
  expect([m.state, m.walk(STOP_COPY).opened?.left]).toEqual([RUNNING, 60]);
});

test('after a close in PRE_COPY, STOP_COPY is a new session with everything', () => {
  const { m, open } = card();
  open(PRE_COPY);
  m.close();
  expect(m.walk(STOP_COPY).opened?.left).toBe(60);
});

test('a snapshot brings it back', () => {
  const { m, open } = card();
  m.write(open(RESUMING), saved().subarray(0, 30));
  const w = new ByteWriter();
  m.encode(w);
  const again = card().m;
  again.decode(new ByteReader(w.take()));
  expect([again.state, again.session!.left, again.check()]).toEqual([RESUMING, 30, []]);
});
