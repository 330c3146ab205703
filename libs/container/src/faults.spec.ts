/**
 * Containers while messages are lost, doubled and late, and services crash.
 *
 * Rule: a program gets the answers of a calm run, and leaves nothing behind.
 */
import { drawOptions } from '@vfiolab/sim';
import { VFIO_IOMMU_DIRTY_PAGES, VFIO_IOMMU_MAP_DMA } from '@vfiolab/uapi';
import {
  ContainerLab,
  ENGINE,
  IOVA,
  NOTHING,
  PAGE,
  PAIR,
  type VfioProgram,
} from '../../../test/capabilities/support/container-lab.js';

const page = BigInt(PAGE);

/** What a program hears, step by step. */
async function story(p: VfioProgram): Promise<unknown[]> {
  const { container, groups } = await p.ready();
  const engine = await p.engine(groups[0]!);
  const va = await p.memory(32 * PAGE, 0x42);
  const heard: unknown[] = [];
  const map = async (n: bigint, size: bigint) =>
    heard.push(await p.map(container, { vaddr: va, iova: n * IOVA, size: size * page }), await p.lockedKb());
  for (const n of [1n, 2n, 3n]) await map(n, 8n);
  await map(2n, 1n);
  const late = await p.group(PAIR[0]);
  heard.push(await p.setContainer(late, container));
  const second = await p.engine(late, PAIR[0]);
  await p.copy(second, IOVA, 2n * IOVA + 5n, 3);
  heard.push(await p.byteAt(va + 5n));
  heard.push(await p.map(container, { vaddr: BigInt(engine.bar), iova: 9n * IOVA, size: page }));
  heard.push((await p.ioctl(container, VFIO_IOMMU_DIRTY_PAGES, { flags: 1 })).errno);
  heard.push(await p.unmap(container, { iova: IOVA, size: page }));
  heard.push(await p.unmap(container, { iova: IOVA, size: 8n * page }), await p.lockedKb());
  heard.push(await p.unmap(container, { flags: 6 }));
  heard.push(await p.map(container, { flags: 4, vaddr: va, iova: 2n * IOVA, size: 8n * page }));
  heard.push(await p.setContainer(late, container), await p.unsetContainer(groups[0]!));
  await p.close(engine.fd);
  await p.must(p.process.munmap(engine.bar, 0x100000));
  heard.push(await p.unsetContainer(groups[0]!), await p.lockedKb());
  heard.push(await p.setContainer(groups[0]!, container));
  return heard;
}

async function run(seed: number): Promise<{ heard: unknown[]; left: unknown }> {
  const lab = await ContainerLab.boot({ seed, options: drawOptions(seed) });
  const p = await lab.program('vmm');
  const heard = await story(p);
  await lab.host.run(p.process.exit());
  await lab.heal();
  return { heard, left: await lab.afterwards() };
}

describe('in trouble as in calm', () => {
  let calm: unknown[] = [];
  beforeAll(async () => {
    const { heard, left } = await run(0);
    expect(left).toEqual(NOTHING);
    expect(heard).toContain('EBUSY');
    calm = heard;
  });

  it.each(Array.from({ length: 12 }, (_, i) => i + 1))('seed %i', async (seed) => {
    expect(await run(seed)).toEqual({ heard: calm, left: NOTHING });
  });
});

it.each([1, 2, 3, 4])('a program that ends with calls under way leaves nothing: seed %i', async (seed) => {
  const lab = await ContainerLab.boot({ seed, options: drawOptions(seed) });
  const p = await lab.program('vmm');
  const { container } = await p.ready([ENGINE, PAIR[0]]);
  const va = await p.memory(512 * PAGE);
  // Nobody waits for these: some are done, some are not, when the program ends.
  for (let i = 1n; i <= 16n; i++) {
    const fields = { argsz: 32, flags: 3, vaddr: va, iova: i * IOVA, size: 512n * page };
    p.process.ioctl(container, VFIO_IOMMU_MAP_DMA, fields).catch(() => undefined);
  }
  await lab.host.run(p.process.exit());
  await lab.heal();
  expect(await lab.afterwards()).toEqual(NOTHING);
});
