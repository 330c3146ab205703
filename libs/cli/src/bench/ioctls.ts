/**
 * Ioctls through the services, embedded and on NATS.
 *
 * Words: a *one-service ioctl* is IOMMU_OPTION (get): the whole way in and out of one service. An IOAS_MAP goes through
 * three: iommufd, pages and iommu; it is measured with a device attached, so that pages are pinned and PTEs written.
 */
import { benchNats, measure, type Load, type Measured } from '@vfiolab/shell';
import { encode, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP, IOMMU_OPTION } from '@vfiolab/uapi';
import type { Durability, Engine } from '../engine.js';
import { type Figure, figure } from './bench.js';
import { DeviceLab } from './device-lab.js';

const OPTION_GET = 1;
const MANY: Load = { inFlight: 64, requests: 500_000 };
const MAPS: Load = { inFlight: 64, requests: 80_000 };
const ON_NATS: Load = { inFlight: 64, requests: 40_000 };
const ALONE: Load = { inFlight: 1, requests: 3000 };
const PAGE = 4096;

/** One ioctl that reads an option, as a shim would send it: the struct is built once. */
export function optionGet(lab: DeviceLab, load: Load): Promise<Measured> {
  const struct = encode(IOMMU_OPTION.struct, { size: 24, option_id: 0, op: OPTION_GET });
  return measure(load, (done) => lab.ioctl(IOMMU_OPTION.nr, struct, done));
}

/** Maps a page of its own for every request; unmapped again outside of the time measured. */
export async function maps(lab: DeviceLab, load: Load): Promise<Measured> {
  const rounds = Math.ceil(load.requests * 1.1) + load.inFlight;
  const memory = BigInt(await lab.memory(rounds * PAGE, 12));
  const base = 0x1000000000n;
  let next = 0n;
  const measured = await measure(load, (done) => {
    const at = next++ * BigInt(PAGE);
    const fields = {
      size: 40,
      flags: 7,
      ioas_id: lab.ioas,
      user_va: memory + at,
      length: BigInt(PAGE),
      iova: base + at,
    };
    lab.ioctl(IOMMU_IOAS_MAP.nr, encode(IOMMU_IOAS_MAP.struct, fields), done);
  });
  const all = { size: 24, ioas_id: lab.ioas, iova: 0n, length: 2n ** 64n - 1n };
  await new Promise<void>((resolve, reject) =>
    lab.ioctl(IOMMU_IOAS_UNMAP.nr, encode(IOMMU_IOAS_UNMAP.struct, all), (e) => (e ? reject(e) : resolve())),
  );
  return measured;
}

/** Embedded: with and without a journal. */
export async function ioctls(engine: Engine): Promise<Figure[]> {
  const figures: Figure[] = [];
  const base = 'one-service ioctl, journal none';
  const rate = async (d: Durability, work: (lab: DeviceLab) => Promise<Measured>): Promise<number> =>
    (await DeviceLab.use(engine, work, { durability: d })).rate;
  const none = await rate('none', (lab) => optionGet(lab, MANY));
  for (const d of ['process', 'power'] as const)
    figures.push(
      figure(`one-service ioctl, journal ${d}`, await rate(d, (lab) => optionGet(lab, MANY)), '1/s', base, none),
    );
  for (const d of ['none', 'process'] as const)
    figures.push(
      figure(
        `IOAS_MAP through three services, journal ${d}`,
        await rate(d, (lab) => maps(lab, MAPS)),
        '1/s',
        base,
        none,
      ),
    );
  return figures;
}

/** On NATS, one process a service, beside a raw request and reply and stock Nest in the same run. */
export async function ioctlsOnNats(engine: Engine): Promise<Figure[]> {
  const raw = (await benchNats('raw own inbox', ALONE)).p50us;
  const stock = (await benchNats('stock Nest, JSON', ON_NATS)).rate;
  const figures: Figure[] = [];
  for (const durability of ['none', 'process'] as const) {
    const [p50, rate, mapRate] = await DeviceLab.use(
      engine,
      async (lab) =>
        [
          (await optionGet(lab, ALONE)).p50us,
          (await optionGet(lab, ON_NATS)).rate,
          (await maps(lab, MAPS)).rate,
        ] as const,
      { durability, nats: 'auto' },
    );
    figures.push(
      figure(`one-service ioctl, 1 in flight, p50, journal ${durability}`, p50, 'us', 'raw own inbox', raw),
      figure(`one-service ioctl, 64 in flight, journal ${durability}`, rate, '1/s', 'stock Nest, JSON', stock),
      figure(`IOAS_MAP, 64 in flight, journal ${durability}`, mapRate, '1/s', 'stock Nest, JSON', stock),
    );
  }
  return figures;
}
