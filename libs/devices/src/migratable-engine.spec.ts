import { REG_FACTORIAL, REG_LIVENESS } from './dma-engine.js';
import { MigratableEngine } from './migratable-engine.js';
import type { ModelBus } from './model.js';

const BUS = { lower: () => undefined } as unknown as ModelBus;
const write = (engine: MigratableEngine, offset: number, value: bigint) => engine.write(offset, 4, value).next();

test('a state that was saved makes another engine equal', () => {
  const [from, to] = [new MigratableEngine(BUS), new MigratableEngine(BUS)];
  write(from, REG_LIVENESS, 5n);
  write(from, REG_FACTORIAL, 5n);
  const image = from.save();
  expect(image.length).toBe(from.imageBytes);
  expect(to.load(image)).toBe(true);
  expect([to.read(REG_LIVENESS, 4), to.read(REG_FACTORIAL, 4)]).toEqual([0xfffffffan, 120n]);
  expect(to.save()).toEqual(image);
});

test('what is no state is refused and changes nothing', () => {
  const engine = new MigratableEngine(BUS);
  write(engine, REG_LIVENESS, 5n);
  const before = engine.save();
  const flipped = (at: number) => before.map((byte, i) => (i === at ? byte ^ 1 : byte));
  for (const image of [new Uint8Array(0), before.slice(1), flipped(0), flipped(4)])
    expect(engine.load(image)).toBe(false);
  expect(engine.save()).toEqual(before);
});

test('a command that ran when the state was saved does not run for ever', () => {
  const engine = new MigratableEngine(BUS);
  const image = engine.save();
  const commandAt = 8 + 16 + 24;
  image[commandAt] = 3;
  expect(engine.load(image)).toBe(true);
  expect(engine.check()).toEqual([]);
});
