import { FUNCTIONS, Lab, NOTHING } from './support/lab.js';
import { PAGE, pattern } from './support/program.js';
import { readBy } from './support/accesses.js';

it('24: a driver of another bus shares an IOAS with vfio-pci, and either may leave first', async () => {
  for (const leavesFirst of ['vfio-pci', 'the other'] as const) {
    const lab = await Lab.real();
    const p = await lab.program('vmm');
    const [ioas, va] = [await p.ioas(), await p.memory(4 * PAGE)];
    await p.write(va, pattern(32));
    expect(await p.map(ioas, 0x10000n, va, 4 * PAGE)).toBeUndefined();
    const [device, other] = [await p.device(FUNCTIONS[0]), await p.access(ioas)];
    await device.attached(ioas);
    await p.pin(other, 0x10000n, 4 * PAGE);
    expect(await p.refs(va, 4 * PAGE, 1)).toBeUndefined();
    if (leavesFirst === 'vfio-pci') {
      expect(await device.detach()).toBeUndefined();
      expect(await p.refs(va, 4 * PAGE, 1)).toBeUndefined();
      expect(await readBy(p, other, 0x10000n, 32)).toEqual([...pattern(32)]);
      await p.close(other);
    } else {
      await p.close(other);
      await device.fetch(0x10000n, 32);
      await device.store(0x10000n + 64n, 32);
      expect(await p.read(va + 64n, 32)).toEqual([...pattern(32)]);
      expect(await device.detach()).toBeUndefined();
    }
    expect(await p.refs(va, 4 * PAGE, 0)).toBeUndefined();
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  }
});
