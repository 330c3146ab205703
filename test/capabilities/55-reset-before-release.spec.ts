/** Capability 55: a device is quiet before its IOMMU lets go of it (semantics D1.2, E9). */
import { DMA_RUN, DMA_TO_MEMORY, REG_DMA_COMMAND } from '@vfiolab/devices';
import { IOMMU, iommuApi } from '@vfiolab/core';
import { ContainerLab, ENGINE, IOVA, NOTHING as NONE } from './support/container-lab.js';
import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { PAGE, type Program } from './support/program.js';

const AT = 0x100000n;
const COMMAND = new Uint8Array(BigUint64Array.of(BigInt(DMA_RUN | DMA_TO_MEMORY)).buffer);

/** What the IOMMU refused this device. */
const faults = (lab: Lab, p: Program, bdf: string) =>
  lab.run(p.process.link.call(IOMMU, iommuApi.faults, { bdf })).then((all) => all.length);

it.each(['close', 'exit'] as const)(
  '55: closing while DMA runs yields no IOMMU fault after ownership release: %s',
  async (way) => {
    const lab = await Lab.real();
    const witness = await lab.program('witness');
    const written = new Set<number>();
    for (let lag = 0; lag < 24; lag++) {
      const p = await lab.program(`vmm${lag}`);
      const [ioas, va] = [await p.ioas(), await p.memory(PAGE)];
      expect(await p.map(ioas, AT, va, PAGE)).toBeUndefined();
      const device = await p.device(FUNCTIONS[0]);
      await device.attached(ioas);
      await p.write(va, new Uint8Array(8).fill(0xaa));
      // A first DMA sets the registers; its like then runs against the end. The buffer is zero.
      await device.store(AT + 2048n, 8);
      const end = async () => {
        await lab.host.pause(lag * 0.05);
        if (way === 'exit') return p.process.exit();
        await p.process.close(p.fd);
        return p.process.close(device.fd);
      };
      await device.retarget(AT);
      const start = () => lab.host.pause(0.6).then(() => p.process.pwrite(device.fd, REG_DMA_COMMAND, COMMAND));
      await lab.host.together(() => Promise.allSettled([start(), end()]));
      await lab.run(lab.host.pause(50));
      if (way === 'close') written.add((await p.read(va, 1))[0]!);
      await p.exit();
      expect([lag, await faults(lab, witness, FUNCTIONS[0])]).toEqual([lag, 0]);
    }
    if (way === 'close') expect(written).toEqual(new Set([0x00, 0xaa]));
    expect(await lab.afterwards(witness)).toEqual(NOTHING);
  },
);

it('55: without a container the device is as after power-on: nothing that was begun goes on', async () => {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready();
  const engine = await p.engine(groups[0]!);
  const va = await p.memory(PAGE, 0x11);
  expect(await p.map(container, { vaddr: va, iova: IOVA, size: BigInt(PAGE) })).toBeUndefined();
  await p.copy(engine, IOVA, IOVA + 8n, 8);
  await p.must(p.process.munmap(engine.bar, 0x100000));
  await p.close(engine.fd);
  await p.unsetContainer(groups[0]!);
  expect(await p.run(p.process.link.call(IOMMU, iommuApi.faults, { bdf: ENGINE }))).toEqual([]);
  expect(await lab.afterwards(p)).toEqual(NONE);
});
