import { Lab, NOTHING } from './support/lab.js';
import type { Program } from './support/program.js';
import { event, eventQueue, nested, vdevice, virtual } from './support/viommus.js';

const LOST = 1;

/** Records of a queue: [flags, sequence] of a lost-events header, and the virtual id behind them of an event. */
async function records(p: Program, fd: number): Promise<number[][]> {
  const read = await p.lab.run(p.process.readFile(fd, 4096));
  if (!read.ok) return read.errno === 'EAGAIN' ? [] : [[NaN]];
  const all = [...new Uint32Array(read.value.slice().buffer)];
  const out: number[][] = [];
  while (all.length > 0) out.push(all.splice(0, all[0] === LOST ? 2 : 3));
  return out;
}

it('83: a queue of depth 2 and five events: two records, then that some were lost; the numbers go on', async () => {
  const lab = await Lab.mock();
  const p = await lab.program('vmm');
  const v = await virtual(p);
  const id = (await vdevice(p, v.viommu, v.device, 0x77n)) as number;
  const { fd, id: queue } = await eventQueue(p, v.viommu, 2);
  expect(await p.replaceErrno(v.object, (await nested(p, v.device, v.viommu)) as number)).toBeUndefined();
  for (let i = 0; i < 5; i++) expect(await event(p, v.device)).toBeUndefined();
  expect(await records(p, fd)).toEqual([
    [0, 0, 0x77],
    [0, 1, 0x77],
    [LOST, 4],
  ]);
  expect(await records(p, fd)).toEqual([]);
  // Room again: the next event has the next number.
  expect(await event(p, v.device)).toBeUndefined();
  expect(await records(p, fd)).toEqual([[0, 5, 0x77]]);
  // Lost ones before an event that finds room are seen as a gap.
  for (let i = 0; i < 3; i++) expect(await event(p, v.device)).toBeUndefined();
  expect(await records(p, fd)).toEqual([
    [0, 6, 0x77],
    [0, 7, 0x77],
    [LOST, 8],
  ]);
  expect(await p.destroy(queue)).toBe('EBUSY');
  // The way of the events was settled when the device was attached; it ends with the attachment.
  expect(await p.destroy(id)).toBeUndefined();
  expect(await event(p, v.device)).toBeUndefined();
  expect(await p.replaceErrno(v.object, v.parent)).toBeUndefined();
  expect(await event(p, v.device)).toBe('ENOENT');
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
