/** The example of docs/device-models.md is this file's neighbour, and works. */
import { readFileSync } from 'node:fs';
import { ByteReader, ByteWriter } from '@vfiolab/core';
import { Filler } from './filler.js';
import { HostBus } from './host-bus.js';

it('what the page shows is the file', () => {
  const page = readFileSync(new URL('../../../../docs/device-models.md', import.meta.url), 'utf8');
  const [, shown] = /```ts\n([^]*?)```\n/.exec(page) ?? [];
  const file = readFileSync(new URL('filler.ts', import.meta.url), 'utf8');
  expect(shown).toBe(file.replace('../model.js', './model.js'));
});

it('fills memory after a while, interrupts, and is read back as it was', () => {
  const bus = new HostBus();
  const filler = new Filler(bus);
  for (const [offset, value] of [
    [0x00, 4096n],
    [0x08, 2n],
    [0x10, 0xabn],
  ] as const)
    expect(filler.write(offset, 8, value).next().done).toBe(true);
  expect(filler.describe()).toBe('filler busy');
  const w = new ByteWriter();
  filler.encode(w);
  expect(bus.pass()).toBe(5);
  expect([...bus.memory.subarray(4095, 4100)]).toEqual([0, 0xab, 0xab, 0xab, 0]);
  expect([filler.read(0x18, 8), bus.raised, filler.check()]).toEqual([0n, [0], []]);
  const again = new Filler(bus);
  again.decode(new ByteReader(w.take()));
  expect(again.describe()).toBe('filler busy');
  again.reset();
  expect(again.describe()).toBe('filler idle');
});
