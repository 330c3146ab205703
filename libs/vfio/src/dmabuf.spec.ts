import { deviceApi, IOMMUFD, sysApi } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { boundBench, type Client, CONFIG } from './testing/client.js';
import { CLIENT } from './testing/harness.js';
import { EDU } from './testing/functions.js';
import { MAX_MADE_FILES } from './made-files.js';

const FACTS = { ...EDU, profile: '7.2' };
const GET = uapi.VFIO_DEVICE_FEATURE_GET | uapi.VFIO_DEVICE_FEATURE_DMA_BUF;
const ARG = 0x10000;

/** The new file's token, or the errno. */
function exported(c: Client, dev: string, ranges: readonly (readonly [bigint, bigint])[], region_index = 0): string {
  const { VFIO_DEVICE_FEATURE: def, vfio_device_feature_dma_buf: header, vfio_region_dma_range: range } = uapi;
  const parts = [
    uapi.encode(uapi.vfio_device_feature, { argsz: 24 + 16 * ranges.length, flags: GET }),
    uapi.encode(header, { region_index, open_flags: 2, flags: 0, nr_ranges: ranges.length }),
    ...ranges.map(([offset, length]) => uapi.encode(range, { offset, length })),
  ];
  const bytes = Uint8Array.from(parts.flatMap((part) => [...part]));
  const args = { token: dev, cmd: def.nr, arg: ARG, segments: [{ va: ARG, writable: true, bytes }], fds: [] };
  const { errno, file } = c.h.ask(sysApi.ioctlFile, args);
  return errno ? uapi.errnoName(errno)! : file!.token;
}

const opened = (c: Client, token: string, start = 0n, length = 4096n): unknown => {
  const answer = c.h.ask(deviceApi.dmabufOpen, { token, client: CLIENT, start, length }, IOMMUFD);
  return answer.ok ? answer.value : answer.errno;
};

describe('a dma-buf', () => {
  test('shows its one range, and only what is inside', () => {
    const { c, dev } = boundBench(FACTS);
    const token = exported(c, dev, [[0x2000n, 0x3000n]]);
    expect(opened(c, token, 0x1000n, 0x2000n)).toEqual({ frame: 1002, pages: 3 });
    expect([opened(c, token, 0n, 0n), opened(c, token, 0n, 0x3001n), opened(c, dev)]).toEqual([
      'EINVAL',
      'EINVAL',
      'EBADF',
    ]);
    const two = exported(c, dev, [
      [0n, 0x1000n],
      [0x2000n, 0x1000n],
    ]);
    expect([opened(c, two), opened(c, two, 0x1000n, 0x2000n)]).toEqual(['EOPNOTSUPP', 'EINVAL']);
    expect(c.h.calls.filter((name) => name === 'pages.deviceFrames')).toHaveLength(1);
  });

  test('is revoked with the windows, dead after the close, and outlives the driver', () => {
    const { c, dev } = boundBench(FACTS);
    const token = exported(c, dev, [[0n, 0x1000n]]);
    c.pwrite(dev, CONFIG + 4, '0000');
    expect([opened(c, token), c.h.world.revokes]).toEqual(['ENODEV', 1]);
    c.pwrite(dev, CONFIG + 4, '0200');
    expect(opened(c, token)).toMatchObject({ pages: 1 });
    c.h.restart();
    expect(opened(c, token)).toMatchObject({ pages: 1 });
    c.close(dev);
    expect(opened(c, token)).toBe('ENODEV');
    c.h.ask(deviceApi.remove, undefined);
    c.h.restart();
    expect([opened(c, token), c.h.core.figures()['madeFiles']]).toEqual(['ENODEV', 1]);
    expect(c.close(token)).toBeUndefined();
    expect(c.h.core.figures()).toEqual({ files: 0, madeFiles: 0, bound: 0, heldEventfds: 0 });
  });

  test('is no stream, has no ioctls, and is granted like other files', () => {
    const { c, dev } = boundBench(FACTS);
    const token = exported(c, dev, [[0n, 0x1000n]]);
    expect([c.pread(token, 0, 4), c.pwrite(token, 0, '00'), c.plain(token, 0x3b67)]).toEqual([
      'ESPIPE',
      'ESPIPE',
      'ENOTTY',
    ]);
    expect(c.h.ask(sysApi.grant, { token, to: 'client:two' })).toMatchObject({ ok: true, value: { kind: 'dmabuf' } });
    c.close(token);
    expect(c.h.core.figures()['madeFiles']).toBe(1);
  });

  test('is refused as a whole: there are no frames left, or too many files are open', () => {
    const { c, dev } = boundBench(FACTS);
    c.h.world.refusals.set('pages.deviceFrames', 'ENOMEM');
    expect(exported(c, dev, [[0n, 0x1000n]])).toBe('ENOMEM');
    c.h.world.refusals.clear();
    for (let i = 0; i < MAX_MADE_FILES - 1; i++) exported(c, dev, [[0n, 0x1000n]]);
    expect(exported(c, dev, [[0n, 0x1000n]])).not.toBe('ENOMEM');
    expect(exported(c, dev, [[0n, 0x1000n]])).toBe('ENOMEM');
  });
});

test("another function's DMA reads all ones and writes nothing where nothing answers", () => {
  const { c, dev } = boundBench(FACTS);
  c.pwrite(dev, CONFIG + 4, '0200');
  const at = (region: number, offset: number, length: number) =>
    c.h.ask(deviceApi.peerRead, { region, offset, length });
  expect([...at(0, 0, 4)]).toEqual([0xed, 0, 0, 1]);
  expect([...at(1, 0, 2)]).toEqual([0xff, 0xff]);
  c.h.ask(deviceApi.peerWrite, { region: 0, offset: 4, data: Uint8Array.of(0, 0, 0, 0) });
  c.h.ask(deviceApi.peerWrite, { region: 1, offset: 4, data: Uint8Array.of(0, 0, 0, 0) });
  expect([...at(0, 4, 4)]).toEqual([255, 255, 255, 255]);
});
