/**
 * VMs and in-kernel users of memory while messages are lost, doubled and late, and services crash.
 *
 * Rule: a program gets the answers of a calm run, and leaves nothing behind.
 */
import { drawOptions } from '@vfiolab/sim';
import {
  ContainerLab,
  ENGINE,
  IOVA,
  NOTHING,
  PAGE,
  PAIR,
  TYPE1_V2,
  type VfioProgram,
} from '../../../../test/capabilities/support/container-lab.js';
import {
  addFile,
  deleteFile,
  guestMemory,
  putTce,
  setSpaprTce,
  tceTable,
  told,
  vfioDevice,
  vmWithVfio,
} from '../../../../test/capabilities/support/kvm.js';
import { MEMORY_CARD, MemoryCardOf } from '../../../../test/capabilities/support/memory-card.js';
import { bind, create, openGroup, remove, UUID } from '../../../../test/capabilities/support/mdev.js';
import { ALONE, registeredMemory, TCE, V2 } from '../../../../test/capabilities/support/power-lab.js';

const P = BigInt(PAGE);
const LIOBN = 7n;

/** A VM with a group, a bound cdev and a memory card in a container: what the program hears, step by step. */
async function x86Story(p: VfioProgram): Promise<unknown[]> {
  const heard: unknown[] = [await create(p, MEMORY_CARD)];
  const { vm, vfio } = await vmWithVfio(p);
  const { container, groups } = await p.ready([ENGINE], TYPE1_V2);
  const cards = await openGroup(p);
  heard.push(await p.setContainer(cards, container), await addFile(p, vfio, cards), await addFile(p, vfio, groups[0]!));
  const card = new MemoryCardOf(p, (await p.device(cards, UUID)) as number);
  const va = await p.memory(4 * PAGE, 3);
  heard.push(await p.map(container, { vaddr: va, iova: IOVA, size: 4n * P }));
  heard.push(await card.tell('vm'), await card.pin(IOVA, 3), await card.pin(IOVA + P, 4), await card.read(IOVA, 2));
  heard.push(await card.write(IOVA + P - 1n, 8, 9), await p.byteAt(va + P), await p.lockedKb());
  const iommufd = await p.must(p.process.open('/dev/iommu'));
  const { fd } = await bind(p, iommufd, `/sys/bus/pci/devices/${PAIR[0]}`);
  heard.push(
    await addFile(p, vfio, fd),
    await addFile(p, vfio, fd),
    await told(p, 'assigned'),
    await told(p, 'devices'),
  );
  heard.push(await told(p, 'noncoherent_dma'), await deleteFile(p, vfio, groups[0]!), await told(p, 'assigned'));
  heard.push(
    await p.unmap(container, { iova: IOVA, size: 4n * P }),
    await card.tell('unmaps'),
    await card.tell('pinned'),
  );
  for (const each of [groups[0]!, cards, container, fd]) await p.close(each);
  heard.push(await told(p, 'assigned'), await card.read(IOVA, 1));
  await p.close(vfio);
  heard.push(await vfioDevice(p, vm), await told(p, 'devices'));
  await p.close(vm);
  await p.close(card.fd);
  heard.push(await remove(p), await told(p, 'devices'));
  return heard;
}

/** TCEs of a guest, until the program is killed. */
async function powerStory(p: VfioProgram): Promise<unknown[]> {
  const { vm, vfio } = await vmWithVfio(p);
  const { container, groups } = await p.ready([ALONE], V2);
  const va = await registeredMemory(p, container, 1);
  const heard: unknown[] = [
    await p.unmap(container, { iova: 0n, size: TCE }),
    await guestMemory(p, vm, 0, 0n, va, 0x10000),
  ];
  const table = (await tceTable(p, vm, LIOBN, 12, 0x1000n)) as number;
  heard.push(await addFile(p, vfio, groups[0]!), await setSpaprTce(p, vfio, groups[0]!, table), await p.lockedKb());
  for (let n = 0n; n < 6n; n++) heard.push(await putTce(p, vm, LIOBN, n * TCE, (n * TCE) | 3n));
  heard.push(await putTce(p, vm, LIOBN, TCE, 0n), await putTce(p, vm, LIOBN, 2n * TCE, 0x20003n));
  const engine = await p.engine(groups[0]!, ALONE);
  await p.must(p.process.write(Number(va), Uint8Array.of(6)));
  await p.copy(engine, 0n, 3n * TCE, 1);
  heard.push(await p.byteAt(va + 3n * TCE), await deleteFile(p, vfio, groups[0]!));
  return heard;
}

const STORIES = {
  x86: { story: x86Story, options: { kvm: 'files', memoryCards: true } },
  power: { story: powerStory, options: { machine: 'P-powernv9', profile: '6.12', kvm: 'files' } },
} as const;

async function run(of: keyof typeof STORIES, seed: number): Promise<{ heard: unknown[]; left: unknown }> {
  const lab = await ContainerLab.boot({ ...STORIES[of].options, seed, options: drawOptions(seed) });
  const p = await lab.program('vmm');
  const heard = await STORIES[of].story(p);
  await lab.host.run(p.process.exit());
  await lab.heal();
  return { heard, left: await lab.afterwards() };
}

const calm = { x86: run('x86', 0), power: run('power', 0) };

it.each([1, 2, 3, 4, 5, 6, 7].flatMap((seed) => [['x86', seed] as const, ['power', seed] as const]))(
  '%s with seed %i',
  async (of, seed) => {
    const { heard, left } = await run(of, seed);
    expect([heard, left]).toEqual([(await calm[of]).heard, NOTHING]);
  },
);
