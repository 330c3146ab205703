import { parseChain, VFIO_IOMMU_GET_INFO } from '@vfiolab/uapi';
import { ALONE, Bench, PAIR } from '../../testing/bench.js';

const CAPS = 3;
const INFO = 24;

async function setup(iommu = 'intel-vtd') {
  const b = await Bench.boot({ iommu });
  const made = await b.ready();
  const info = (argsz: number) => b.ioctl(made.fd, VFIO_IOMMU_GET_INFO, { argsz }, { room: Math.max(0, argsz - INFO) });
  return { b, ...made, info };
}

it('page sizes, and migration, mappings left, IOVA ranges in this order (b070)', async () => {
  const { info } = await setup();
  const { errno, out, tail } = await info(536);
  expect(errno).toBeUndefined();
  expect(out).toMatchObject({ argsz: 536, flags: CAPS, iova_pgsizes: 0x40201000n, cap_offset: INFO });
  const reply = new Uint8Array(INFO + tail.length);
  reply.set(tail, INFO);
  const chain = parseChain(reply, INFO);
  expect(chain.map(({ id, version, offset }) => [id, version, offset])).toEqual([
    [2, 1, 24],
    [3, 1, 56],
    [1, 1, 72],
  ]);
  const view = ({ body }: { body: Uint8Array }) => new DataView(body.buffer, body.byteOffset);
  const [migration, avail, ranges] = chain.map(view);
  expect([migration!.getBigUint64(8, true), migration!.getBigUint64(16, true)]).toEqual([0x1000n, 0x10000000n]);
  expect(avail!.getUint32(0, true)).toBe(65535);
  expect(ranges!.getUint32(0, true)).toBe(2);
  expect([8, 16, 24, 32].map((at) => ranges!.getBigUint64(at, true))).toEqual([
    0n,
    0xfedfffffn,
    0xfef00000n,
    0xffffffffffffn,
  ]);
});

it.each([
  [16, 120, undefined],
  [20, 120, undefined],
  [24, 120, undefined],
  [119, 120, undefined],
  [120, 120, INFO],
])('argsz %i comes back as %i', async (argsz, back, offset) => {
  const { info } = await setup();
  const { out } = await info(argsz);
  expect([out.argsz, out.flags]).toEqual([back, CAPS]);
  expect(out.cap_offset).toBe(offset ?? 0);
});

it('an argument that is too short is EINVAL, one that cannot be written EFAULT', async () => {
  const { b, fd, info } = await setup();
  expect((await info(15)).errno).toBe('EINVAL');
  expect((await b.plain(fd, VFIO_IOMMU_GET_INFO.nr, 0)).errno).toBe('EFAULT');
});

it('a group that shares the domain changes nothing; one that leaves neither', async () => {
  const { b, fd, container, info } = await setup('amd-vi');
  const before = (await info(136)).tail;
  await b.join(fd, ALONE);
  expect((await info(136)).tail).toEqual(before);
  await b.leave(container, PAIR);
  expect((await info(136)).tail).toEqual(before);
  expect(b.host.broken()).toEqual([]);
});
