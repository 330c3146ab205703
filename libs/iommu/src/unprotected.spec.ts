import { DEVICE_FRAMES, deviceApi, iommuApi, MAX_DMA, pagesApi } from '@vfiolab/core';
import { Bench } from '../../core/src/testing/bench.js';
import { IommuCore } from './iommu-core.js';

const BDF = '0000:00:03.0';
const PAGE = 4096n;
const NOTHING = new Uint8Array(0);

function setup() {
  const bench = new Bench('iommu', new IommuCore(), {
    pages: {
      api: pagesApi,
      answers: {
        physicalRead: ({ length }: { length: number }) => new Uint8Array(length).fill(1),
        physicalWrite: () => undefined,
        deviceWindow: ({ frame }: { frame: number }) =>
          frame === DEVICE_FRAMES ? { bdf: '0000:00:04.0', region: 0, page: 3 } : undefined,
      },
    },
    device: {
      api: deviceApi,
      answers: { peerRead: ({ length }: { length: number }) => new Uint8Array(length).fill(2) },
    },
  });
  const read = (address: bigint, length: number) =>
    bench.get('device:0000:00:03_0', iommuApi.dmaUnprotected, {
      bdf: BDF,
      address,
      write: false,
      length,
      data: NOTHING,
    });
  const write = (address: bigint, data: Uint8Array, length = data.length) =>
    bench.get('device:0000:00:03_0', iommuApi.dmaUnprotected, { bdf: BDF, address, write: true, length, data });
  return { bench, read, write, said: () => bench.heard.map(({ method }) => method) };
}

describe('DMA without an IOMMU (A4.4)', () => {
  it('goes to the address that the device names, and is counted', () => {
    const { bench, read, write, said } = setup();
    expect(read(0x1234n, 2)).toEqual(Uint8Array.of(1, 1));
    write(0x1234n, Uint8Array.of(7));
    expect(said()).toEqual(['pages.physicalRead', 'pages.physicalWrite']);
    expect(bench.core.describe()).toContain(`${BDF}: 2 DMAs without an IOMMU, unprotected`);
  });

  it('reaches other devices page by page: ones where there is none', () => {
    const { read } = setup();
    const at = BigInt(DEVICE_FRAMES) * PAGE + PAGE - 2n;
    expect(read(at, 4)).toEqual(Uint8Array.of(2, 2, 0xff, 0xff));
  });

  it('ends where memory and devices do', () => {
    const { read, write, said } = setup();
    const end = BigInt(2 * DEVICE_FRAMES) * PAGE;
    expect(read(end - 1n, 2)).toEqual(Uint8Array.of(0xff, 0xff));
    expect(read((1n << 64n) - 1n, 1)).toEqual(Uint8Array.of(0xff));
    expect(write(end, Uint8Array.of(1))).toEqual(NOTHING);
    expect(said()).toEqual([]);
  });

  it('is of one message at most, and as long as its data', () => {
    const { bench, read, write } = setup();
    expect(read(0n, MAX_DMA)).toHaveLength(MAX_DMA);
    expect(read(0n, MAX_DMA + 1)).toHaveLength(0);
    write(0n, Uint8Array.of(1), 2);
    expect(bench.core.describe()).toContain(`${BDF}: 1 DMAs without an IOMMU, unprotected`);
  });
});
