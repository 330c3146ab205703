import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { PAGE, pattern } from './support/program.js';

const AT = 0x100000n;

it('86: a mapped memfd outlives the process that mapped it: DMA goes on, and a new HWPT is still filled', async () => {
  const lab = await Lab.real();
  const [a, b] = [await lab.program('a'), await lab.process('b')];
  b.fd = await a.send(a.fd, b);
  const fd = await a.memfd(4 * PAGE);
  const theirs = await a.send(fd, b);
  const [ioas, lazy, device] = [await b.ioas(), await b.ioas(), await b.device(FUNCTIONS[0])];
  await device.attached(ioas);
  await a.must(a.process.pwrite(fd, 0, pattern(64)));
  for (const each of [ioas, lazy]) expect(await a.mapFile(each, AT, fd, 0, 4 * PAGE)).toBeUndefined();
  expect((await a.counters()).pinned).toBe(4);
  await a.exit();

  await device.fetch(AT, 64);
  await device.store(AT + BigInt(PAGE), 64);
  expect([...(await b.must(b.process.pread(theirs, PAGE, 64)))]).toEqual([...pattern(64)]);
  // Pinned while the mapper lived, and not pinned yet: both can be put into a new domain.
  const second = await b.device(FUNCTIONS[1]);
  const hwpt = await b.hwpt(second.id, ioas);
  expect(await second.attach(hwpt)).toBeUndefined();
  await second.fetch(AT + BigInt(PAGE), 64);
  await second.store(AT + BigInt(2 * PAGE), 64);
  expect([...(await b.must(b.process.pread(theirs, 2 * PAGE, 64)))]).toEqual([...pattern(64)]);
  expect(await second.attach(lazy)).toBeUndefined();
  await second.fetch(AT + BigInt(2 * PAGE), 64);
  await second.store(AT + BigInt(3 * PAGE), 64);
  expect([...(await b.must(b.process.pread(theirs, 3 * PAGE, 64)))]).toEqual([...pattern(64)]);
  expect(await lab.afterwards(b)).toEqual(NOTHING);
});

it('86: memory of a process is different: what was not pinned when it ended cannot be pinned any more', async () => {
  const lab = await Lab.real();
  const [a, b] = [await lab.program('a'), await lab.process('b')];
  b.fd = await a.send(a.fd, b);
  const [ioas, device] = [await b.ioas(), await b.device(FUNCTIONS[0])];
  expect(await a.map(ioas, AT, await a.memory(PAGE), PAGE)).toBeUndefined();
  await a.exit();
  expect(await device.attach(ioas)).toBe('EFAULT');
  expect(await lab.afterwards(b)).toEqual(NOTHING);
});
