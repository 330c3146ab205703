import { DEVICE_FRAMES, deviceApi, IOMMUFD, iommuApi, pagesApi } from '@vfiolab/core';
import { Bench, HOLD, type Script } from '../../core/src/testing/bench.js';
import { IommuCore } from './iommu-core.js';

const [MOVER, TARGET] = ['0000:00:03.0', '0000:00:04.0'];
const PAGE = 4096n;

/** A device in a domain with a page of memory at 16, device memory at 17, and memory again at 18. */
function setup(window: Script = () => ({ bdf: TARGET, region: 2, page: 7 })) {
  const bench = new Bench('iommu', new IommuCore(), {
    pages: {
      api: pagesApi,
      answers: {
        dmaRead: ({ pieces }: { pieces: { length: number }[] }) => new Uint8Array(pieces[0]!.length).fill(1),
        dmaWrite: () => undefined,
        deviceWindow: window,
      },
    },
    device: {
      api: deviceApi,
      answers: {
        peerRead: ({ length }: { length: number }) => new Uint8Array(length).fill(2),
        peerWrite: () => undefined,
      },
    },
  });
  const functions = [{ bdf: MOVER!, group: 1 }];
  bench.get('groups', iommuApi.setup, { kind: 'intel-vtd', functions });
  bench.get(IOMMUFD, iommuApi.domainAlloc, { bdf: MOVER!, flags: 0, data: undefined });
  bench.get(IOMMUFD, iommuApi.attach, { bdfs: [MOVER!], domain: 1 });
  const runs = [
    { frame: 5, count: 1 },
    { frame: DEVICE_FRAMES + 40, count: 1 },
    { frame: 6, count: 1 },
  ];
  bench.get(IOMMUFD, iommuApi.map, { domains: [1], iova: 16, runs, prot: 3 });
  bench.heard.length = 0;
  const dma = (iova: bigint, length: number, data?: Uint8Array) =>
    bench.get('device:0000:00:03_0', iommuApi.dma, {
      bdf: MOVER!,
      iova,
      write: data !== undefined,
      length,
      data: data ?? new Uint8Array(0),
    });
  return { bench, dma };
}

it('a read over memory and a device brings the bytes of each, in order', () => {
  const { bench, dma } = setup();
  const { data, fault } = dma(17n * PAGE - 4n, 4 + 4096 + 4);
  expect(fault).toBeUndefined();
  expect([
    ...new Set(data.subarray(0, 4)),
    ...new Set(data.subarray(4, 4100)),
    ...new Set(data.subarray(4100)),
  ]).toEqual([1, 2, 1]);
  expect(bench.heard.map(({ to, method }) => [to, method])).toEqual([
    ['pages', 'pages.dmaRead'],
    ['pages', 'pages.deviceWindow'],
    ['device:0000:00:04_0', 'device.peerRead'],
    ['pages', 'pages.dmaRead'],
  ]);
  expect(bench.core.check()).toEqual([]);
});

it('a write gives each its bytes', () => {
  const { bench, dma } = setup();
  expect(dma(18n * PAGE - 2n, 4, Uint8Array.of(1, 2, 3, 4)).fault).toBeUndefined();
  expect(bench.heard.map(({ args }) => args)).toEqual([
    { frame: DEVICE_FRAMES + 40 },
    { region: 2, offset: 7 * 4096 + 4094, data: Uint8Array.of(1, 2) },
    { pieces: [{ frame: 6, offset: 0, length: 2 }], data: Uint8Array.of(3, 4) },
  ]);
});

it('where no device is, reads give ones and writes are lost', () => {
  const { bench, dma } = setup(() => undefined);
  expect(dma(17n * PAGE, 4).data).toEqual(new Uint8Array(4).fill(0xff));
  expect(dma(17n * PAGE, 1, Uint8Array.of(1)).fault).toBeUndefined();
  expect(bench.heard.every(({ to }) => to === 'pages')).toBe(true);
});

it('an unmap waits until the other device has answered (I05)', () => {
  const { bench } = setup();
  bench.script('device', { peerWrite: () => HOLD });
  const data = Uint8Array.of(1);
  const dma = bench.ask('device:0000:00:03_0', iommuApi.dma, {
    bdf: MOVER!,
    iova: 17n * PAGE,
    write: true,
    length: 1,
    data,
  });
  const unmapped = bench.ask(IOMMUFD, iommuApi.unmap, { domains: [1], spans: [{ iova: 17, count: 1 }] });
  expect([dma.done, unmapped.done]).toEqual([false, false]);
  bench.answer('device.peerWrite', undefined);
  expect([dma.done, unmapped.done]).toEqual([true, true]);
});
