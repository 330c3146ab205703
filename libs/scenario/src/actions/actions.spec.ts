/** Actions that are more than one call, or reach into devices and streams: their words, and the calls that they make. */
import { fail, ok } from '@vfiolab/uapi';
import { readScenario } from '../read.js';
import { runScenario } from '../run.js';
import { FakeEnvironment, scenarioText, type Script } from '../testing/fake-environment.js';

const DEVICE = '{ open: { path: /dev/vfio/devices/vfio0 }, as: fd }';

async function last(steps: readonly string[], script: Script): Promise<{ line: string; environment: FakeEnvironment }> {
  const environment = new FakeEnvironment(script);
  const result = await runScenario(readScenario(scenarioText(DEVICE, ...steps), 'test.yaml'), environment);
  const { call, answer } = result.transcript.at(-1)!;
  return { line: `${call} = ${answer}${result.ok ? '' : ` (${result.failure!.message})`}`, environment };
}

/** A stream of these pieces. */
function stream(...pieces: Uint8Array[]): () => unknown {
  return () => ok(pieces.shift() ?? new Uint8Array(0));
}

const rows: [string, string[], Script, string][] = [
  [
    'mmap of a region',
    ['mmap: { fd: $fd, region: bar2, length: 4KiB, prot: r }'],
    { 'sys.open': ok({ token: 't', kind: 'device' }), 'device.mapRegion': ok(0x9000) },
    'mmap(NULL, 4 KiB, PROT_READ, MAP_SHARED, 3</dev/vfio/devices/vfio0>, bar2) = 0x9000',
  ],
  [
    'dma of a device that does not answer',
    ['{ dma: { fd: $fd, from: 0x1000, to: 0x2000, length: 8 }, expect: { errno: EIO } }'],
    { 'sys.pwrite': fail('EIO') },
    'dma(3</dev/vfio/devices/vfio0>, 0x1000 -> 0x2000, 8 bytes) = -1 EIO',
  ],
  [
    'recv',
    ["{ recv: { fd: $fd, length: 40 }, expect: { ret: 2, data: '0102' } }"],
    { 'stream.read': ok(Uint8Array.of(1, 2)) },
    'read(3</dev/vfio/devices/vfio0>, 40) = 2 01 02',
  ],
  [
    'send',
    ['{ send: { fd: $fd, u32: [1, 0] }, expect: { ret: 8 } }'],
    { 'stream.write': ok(8) },
    'write(3</dev/vfio/devices/vfio0>, 01 00 00 00 00 00 00 00) = 8',
  ],
  [
    'pipe',
    ['{ pipe: { from: $fd, to: $fd }, expect: { ret: 3 } }'],
    { 'stream.read': stream(Uint8Array.of(1, 2), Uint8Array.of(3)), 'stream.write': ok(1) },
    'copy everything(3</dev/vfio/devices/vfio0> -> 3</dev/vfio/devices/vfio0>) = 3 bytes',
  ],
  [
    'pipe from a stream without an end',
    ['{ pipe: { from: $fd, to: $fd }, expect: { errno: EFBIG } }'],
    { 'stream.read': ok(Uint8Array.of(1)), 'stream.write': ok(1) },
    'copy everything(3</dev/vfio/devices/vfio0> -> 3</dev/vfio/devices/vfio0>) = -1 EFBIG',
  ],
];

test.each(rows)('%s', async (_what, steps, script, line) => {
  expect((await last(steps, script)).line).toBe(line);
});

test.each([
  [false, [0, 0x10]],
  [true, [0, 0, 0, 0, 0, 0, 0x10, 0]],
])('dma writes the registers of the engine, big endian: %s', async (bigEndian, source) => {
  const { line, environment } = await last(
    [`dma: { fd: $fd, from: 0x1000, to: 0x2000, length: 8, bigEndian: ${bigEndian} }`],
    { 'sys.pwrite': ok(8) },
  );
  expect(line).toBe('dma(3</dev/vfio/devices/vfio0>, 0x1000 -> 0x2000, 8 bytes) = started');
  const writes = environment.calls.filter(({ method }) => method === 'sys.pwrite').map(({ args }) => args);
  const [bus, first] = writes as { offset: number; data: Uint8Array }[];
  expect([bus!.offset, ...bus!.data]).toEqual([7 * 2 ** 40 + 4, 6, 0]);
  expect([first!.offset, ...first!.data.subarray(0, source.length)]).toEqual([0x80, ...source]);
  expect((writes as { offset: number }[]).map(({ offset }) => offset).slice(1)).toEqual([
    0x80, 0x88, 0x90, 0x98, 0x80, 0x88, 0x98,
  ]);
});
