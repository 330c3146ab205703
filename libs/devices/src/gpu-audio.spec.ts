import { ByteReader, ByteWriter } from '@vfiolab/core';
import * as audio from './gpu-audio.js';
import { HostBus } from './testing/host-bus.js';

const run = (op: Generator): void => expect(op.next().done).toBe(true) as unknown as void;

function playing(periods = 2) {
  const bus = new HostBus();
  bus.memory.fill(1, 4096, 4096 + audio.PERIOD_BYTES).fill(2, 4096 + audio.PERIOD_BYTES, 4096 + 2 * audio.PERIOD_BYTES);
  const card = new audio.GpuAudio(bus);
  run(card.write(audio.STREAM, 8, 4096n));
  run(card.write(audio.RING, 8, BigInt(periods * audio.PERIOD_BYTES)));
  run(card.write(audio.PLAY, 8, 1n));
  return { bus, card };
}

it('plays a period every 10 ms and interrupts, round and round', () => {
  const { bus, card } = playing();
  expect([bus.pass(), bus.pass(), bus.pass()]).toEqual([10, 10, 10]);
  expect(card.read(audio.HEARD, 8)).toBe(BigInt(audio.PERIOD_BYTES * (1 + 2 + 1)));
  expect([card.read(audio.POSITION, 8), bus.raised]).toEqual([BigInt(audio.PERIOD_BYTES), [0, 0, 0]]);
  expect(card.read(audio.AUDIO_ID, 4)).toBe(audio.AUDIO_IDENTIFICATION);
});

it('stops when told to, and breaks where memory does not answer', () => {
  const { bus, card } = playing();
  run(card.write(audio.PLAY, 8, 0n));
  bus.pass();
  expect([card.read(audio.STATE, 8), bus.requests, bus.planned.length]).toEqual([audio.STOPPED, 0, 0]);
  run(card.write(audio.STREAM, 8, 1n << 40n));
  run(card.write(audio.PLAY, 8, 1n));
  bus.pass();
  expect([card.read(audio.STATE, 8), bus.raised, bus.planned.length]).toEqual([audio.BROKEN, [0], 0]);
});

it.each([
  ['no ring', 0n],
  ['half a period', 960n],
  ['a ring beyond the longest', BigInt((audio.MAX_PERIODS + 1) * audio.PERIOD_BYTES)],
])('does not play %s', (_what, ring) => {
  const { bus, card } = playing();
  run(card.write(audio.PLAY, 8, 0n));
  bus.pass();
  run(card.write(audio.RING, 8, ring));
  run(card.write(audio.PLAY, 8, 1n));
  expect([card.read(audio.STATE, 8), bus.planned.length]).toEqual([audio.STOPPED, 0]);
});

it('is as after power-on when it is reset, and is read back as it was', () => {
  const { bus, card } = playing();
  bus.pass();
  const w = new ByteWriter();
  card.encode(w);
  const other = new audio.GpuAudio(bus);
  other.decode(new ByteReader(w.take()));
  expect([other.describe(), other.check()]).toEqual([card.describe(), []]);
  card.reset();
  expect(card.describe()).toBe('gpu-audio stopped at 0 of 0');
});
