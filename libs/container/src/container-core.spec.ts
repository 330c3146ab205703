import {
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_GET_INFO,
  VFIO_IOMMU_MAP_DMA,
  VFIO_SET_IOMMU,
} from '@vfiolab/uapi';
import { CONTAINER, containerApi, sysApi } from '@vfiolab/core';
import { ALONE, Bench, must, NOIOMMU, PAIR, TYPE1, TYPE1_V2 } from './testing/bench.js';

const NOIOMMU_TYPE = 8;
const extensions = async (b: Bench, fd: number, numbers: readonly number[]) => {
  const out: number[] = [];
  for (const n of numbers) out.push((await b.plain(fd, VFIO_CHECK_EXTENSION.nr, n)).ret);
  return out;
};
const ALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

describe('without a backend', () => {
  it('only the container itself answers; the rest is EINVAL, whatever the argument is (b017)', async () => {
    const b = await Bench.boot();
    const fd = await b.container();
    expect(await b.plain(fd, VFIO_GET_API_VERSION.nr)).toEqual({ ret: 0, errno: undefined });
    for (const nr of [VFIO_IOMMU_GET_INFO.nr, VFIO_IOMMU_MAP_DMA.nr, 0x3bff])
      expect((await b.plain(fd, nr, 0)).errno).toBe('EINVAL');
    expect((await b.plain(fd, VFIO_SET_IOMMU.nr, TYPE1_V2)).errno).toBe('EINVAL');
    expect((await b.run(b.p.pread(fd, 0, 4))).ok).toBe(false);
    await b.close(fd);
    expect(b.left()).toEqual({});
  });

  it.each([
    ['6.12', [0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0]],
    ['7.2', [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]],
  ])('CHECK_EXTENSION asks every driver on %s (b017, DIFF 13)', async (profile, answers) => {
    const b = await Bench.boot({ profile });
    expect(await extensions(b, await b.container(), ALL)).toEqual(answers);
  });

  it('another path is not a container; a token in the wrong hands is EBADF', async () => {
    const b = await Bench.boot();
    expect(await b.run(b.p.link.call(CONTAINER, sysApi.open, { path: '/dev/vfio/1', flags: 2 }))).toEqual({
      ok: false,
      errno: 'ENXIO',
    });
    const fd = await b.container();
    const { token } = b.p.fileOf(fd);
    const held = await b.ask(CONTAINER, containerApi.hold, { token, client: 'client:other', noiommu: false });
    expect(held).toEqual({ ok: false, errno: 'EBADF' });
  });
});

describe('choosing a backend', () => {
  it.each([
    [0, 'ENODEV'],
    [2, 'ENODEV'],
    [4, 'ENODEV'],
    [NOIOMMU_TYPE, 'ENODEV'],
    [99, 'ENODEV'],
    [9, 'EINVAL'],
    [6, 'EINVAL'],
    [TYPE1, undefined],
    [TYPE1_V2, undefined],
  ])('SET_IOMMU(%i) with a group: %s (b017)', async (type, errno) => {
    const b = await Bench.boot();
    const fd = await b.container();
    must(await b.join(fd, PAIR));
    expect((await b.plain(fd, VFIO_SET_IOMMU.nr, type)).errno).toBe(errno);
    expect(b.host.broken()).toEqual([]);
  });

  it('once; afterwards only the backend is asked', async () => {
    const b = await Bench.boot();
    const { fd, container } = await b.ready();
    for (const type of [TYPE1, TYPE1_V2]) expect((await b.plain(fd, VFIO_SET_IOMMU.nr, type)).errno).toBe('EINVAL');
    expect(await extensions(b, fd, ALL)).toEqual([0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0]);
    expect((await b.plain(fd, VFIO_IOMMU_ENABLE.nr)).errno).toBe('ENOTTY');
    expect(await b.ask(CONTAINER, containerApi.ready, { container })).toEqual({ ok: true, value: undefined });
  });

  it('AMD-Vi enforces coherent DMA (b017)', async () => {
    const b = await Bench.boot({ iommu: 'amd-vi' });
    const { fd } = await b.ready();
    expect(await extensions(b, fd, [4])).toEqual([1]);
  });

  it('the last group takes it along; the container can choose again (b019)', async () => {
    const b = await Bench.boot();
    const { fd, container } = await b.ready(TYPE1_V2, [PAIR, ALONE]);
    await b.leave(container, PAIR);
    expect(await b.ask(CONTAINER, containerApi.ready, { container })).toEqual({ ok: true, value: undefined });
    await b.leave(container, ALONE);
    expect((await b.plain(fd, VFIO_IOMMU_GET_INFO.nr)).errno).toBe('EINVAL');
    must(await b.join(fd, ALONE));
    expect(await b.ask(CONTAINER, containerApi.ready, { container })).toEqual({ ok: false, errno: 'EINVAL' });
    expect((await b.plain(fd, VFIO_SET_IOMMU.nr, TYPE1)).errno).toBeUndefined();
    expect(b.host.broken()).toEqual([]);
    expect(b.reread()).toBe(true);
  });

  it('without isolated MSIs only when the parameter allows it (A2.8)', async () => {
    const b = await Bench.boot({ iommu: 'virtio-iommu' });
    const fd = await b.container();
    must(await b.join(fd, PAIR));
    expect((await b.plain(fd, VFIO_SET_IOMMU.nr, TYPE1)).errno).toBe('EPERM');
    expect(b.left()).toEqual({ containers: 1, files: 1, groups: 1 });
    must(await b.parameter('allow_unsafe_interrupts', 1));
    expect((await b.plain(fd, VFIO_SET_IOMMU.nr, TYPE1)).errno).toBeUndefined();
  });

  it('there are no other parameters', async () => {
    const b = await Bench.boot();
    expect(await b.parameter('toString', 1)).toEqual({ ok: false, errno: 'ENOENT' });
  });
});

describe('noiommu', () => {
  it('serves its groups only, and answers one question (A4.1, SURPRISES 47)', async () => {
    const b = await Bench.boot({ iommu: 'none' });
    const fd = await b.container();
    expect(await extensions(b, fd, [1, NOIOMMU_TYPE])).toEqual([1, 0]);
    must(await b.parameter('enable_unsafe_noiommu_mode', 1));
    expect(await extensions(b, fd, [1, NOIOMMU_TYPE])).toEqual([1, 1]);
    const container = must(await b.join(fd, NOIOMMU));
    expect(await extensions(b, fd, ALL)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    expect((await b.plain(fd, VFIO_SET_IOMMU.nr, TYPE1)).errno).toBe('ENODEV');
    expect((await b.plain(fd, VFIO_SET_IOMMU.nr, NOIOMMU_TYPE)).errno).toBeUndefined();
    expect((await b.plain(fd, VFIO_IOMMU_MAP_DMA.nr, 0)).errno).toBe('ENOTTY');
    expect(b.reread()).toBe(true);
    expect(b.host.broken()).toEqual([]);
    await b.leave(container, NOIOMMU);
    await b.close(fd);
    expect(b.left()).toEqual({});
  });

  it('needs CAP_SYS_RAWIO', async () => {
    const b = await Bench.boot({ iommu: 'none' }, { uid: 1000, caps: 0, memlock: 1 << 20 });
    must(await b.parameter('enable_unsafe_noiommu_mode', 1));
    const fd = await b.container();
    must(await b.join(fd, NOIOMMU));
    expect((await b.plain(fd, VFIO_SET_IOMMU.nr, NOIOMMU_TYPE)).errno).toBe('EPERM');
  });

  it('does not mix with groups that have an IOMMU (I19)', async () => {
    const b = await Bench.boot();
    const fd = await b.container();
    must(await b.join(fd, PAIR));
    expect(await b.join(fd, NOIOMMU)).toEqual({ ok: false, errno: 'EPERM' });
    expect(b.host.broken()).toEqual([]);
  });
});

describe('life of a container', () => {
  it('goes with its file and its last holder, in either order (b018)', async () => {
    const b = await Bench.boot();
    const { fd, container } = await b.ready();
    await b.close(fd);
    expect(b.left()).toEqual({ containers: 1, groups: 1, held: 1 });
    await b.leave(container, PAIR);
    expect(b.left()).toEqual({});
    const second = await b.ready();
    await b.leave(second.container, PAIR);
    expect(b.left()).toEqual({ containers: 1, files: 1 });
    await b.close(second.fd);
    expect(b.left()).toEqual({});
  });

  it('a client that ends closes its containers', async () => {
    const b = await Bench.boot();
    await b.container();
    await b.run(b.p.exit());
    expect(b.left()).toEqual({});
  });
});
