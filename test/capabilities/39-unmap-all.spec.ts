import { Lab, NOTHING } from './support/lab.js';
import { ALL, APERTURE, PAGE } from './support/program.js';

it.each(['without a domain', 'with two domains', 'with pins of an emulated device'] as const)(
  '39: UNMAP of everything answers the total, and 0 when nothing is left: %s',
  async (kind) => {
    const lab = await Lab.mock();
    const p = await lab.program('vmm');
    const [ioas, va] = [await p.ioas(), await p.memory(64 * PAGE)];
    if (kind === 'with two domains') for (const _ of [0, 1]) await p.mock(ioas);
    let total = 0;
    for (let i = 0; i < 40; i++) {
      const length = (1 + (i % 7)) * PAGE;
      expect(await p.map(ioas, APERTURE + BigInt(i * 16 * PAGE), va, length)).toBeUndefined();
      total += length;
    }
    if (kind === 'with pins of an emulated device') await p.pin(await p.access(ioas), APERTURE, PAGE);
    expect(await p.unmap(ioas, 0n, ALL)).toBe(BigInt(total));
    expect(await p.unmap(ioas, 0n, ALL)).toBe(0n);
    expect(await p.unmap(ioas, 0n, ALL - 1n)).toBe('ENOENT');
    expect(await p.refs(va, 64 * PAGE, 0)).toBeUndefined();
    expect(await lab.afterwards(p)).toEqual(NOTHING);
  },
);
