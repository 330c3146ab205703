/** Capability 19: a guest's changes of its table are made known by ioctl (semantics C6.1). */
import { PAGE } from './support/iommu-host.js';
import { pageOf as page, VA, vtdGuest as guest } from './support/vtd-guest.js';

describe('19: entry_num returns the number done', () => {
  const whole = [VA, 1n, 0n];
  it.each([
    ['third bad entry of five -> 2 and error', [...whole, ...whole, VA + 1n, 1n, 0n, ...whole, ...whole], 2, 'EINVAL'],
    ['an unknown flag', [...whole, VA, 1n, 2n], 1, 'EOPNOTSUPP'],
    ['a reserved word', [VA, 1n, 1n << 32n], 0, 'EOPNOTSUPP'],
    ['everything, but not from 0 on', [VA, 0xffffffffffffffffn, 0n], 0, 'EINVAL'],
    ['five good ones', [...whole, ...whole, ...whole, ...whole, ...whole], 5, undefined],
  ] as const)('%s', async (_why, entries, done, errno) => {
    const g = await guest();
    const answer = await g.t.invalidate(g.hwpt, 0, 24, entries);
    expect([answer.out.entry_num, answer.errno]).toEqual([done, errno]);
  });

  it('the entries before the bad one were carried out, and none behind it', async () => {
    const g = await guest();
    const pages = [VA, VA + PAGE, VA + 2n * PAGE];
    for (const iova of pages) await g.t.dma(g.device, iova, 4, false);
    await g.t.poke(page(g, 3), [0n, 0n, 0n]);
    const entry = (iova: bigint) => [iova, 1n, 0n];
    const { out, errno } = await g.t.invalidate(g.hwpt, 0, 24, [
      ...[...entry(pages[0]!), ...entry(pages[1]!)],
      ...[...entry(VA + 1n), ...entry(pages[2]!), ...entry(pages[2]!)],
    ]);
    expect([out.entry_num, errno]).toEqual([2, 'EINVAL']);
    for (const iova of pages) await g.t.dma(g.device, iova, 4, false);
    expect(await g.t.faults(g.device)).toMatchObject([
      { iova: pages[0], reason: 'not mapped by the guest' },
      { iova: pages[1], reason: 'not mapped by the guest' },
    ]);
  });

  it('no entries at all ask whether the type is known', async () => {
    const g = await guest();
    const ask = async (type: number) => {
      const { out, errno } = await g.t.invalidate(g.hwpt, type, 24, []);
      return [out.entry_num, errno];
    };
    expect([await ask(0), await ask(1)]).toEqual([
      [0, undefined],
      [0, 'EINVAL'],
    ]);
  });

  it.each([
    ['data of another type', 1, 24, [...whole], 'EINVAL'],
    ['entries that are too short', 0, 16, [VA, 1n], 'EINVAL'],
    ['longer entries with something behind', 0, 32, [...whole, 1n], 'E2BIG'],
    ['longer entries with zeros behind', 0, 32, [...whole, 0n], undefined],
  ] as const)('%s', async (_why, type, length, entries, errno) => {
    const g = await guest();
    expect((await g.t.invalidate(g.hwpt, type, length, entries)).errno).toBe(errno);
  });
});
