import { deviceApi } from '@vfiolab/core';
import { ContainerLab, NOTHING, PAGE } from '../../../test/capabilities/support/container-lab.js';

const REGION = 2 ** 40;
const BAR_LENGTH = 0x100000;

async function setup() {
  const lab = await ContainerLab.boot();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready();
  const engine = await p.engine(groups[0]!);
  const map = async (offset: number, length: number, options = {}) => {
    const mapped = await p.run(p.process.mapDevice(engine.fd, offset, length, options));
    return mapped.ok ? mapped.value : mapped.errno;
  };
  return { lab, p, container, engine, map };
}

it.each([
  ['the whole BAR', 0, BAR_LENGTH, undefined],
  ['its last page', BAR_LENGTH - PAGE, PAGE, undefined],
  ['a part of a page', 0, 1, undefined],
  ['beyond its end', BAR_LENGTH - PAGE, 2 * PAGE, 'EINVAL'],
  ['not on a page', 8, PAGE, 'EINVAL'],
  ['no length', 0, 0, 'EINVAL'],
  ['a BAR that is not there', REGION, PAGE, 'EINVAL'],
  ['the ROM', 6 * REGION, PAGE, 'EINVAL'],
  ['config space', 7 * REGION, PAGE, 'EINVAL'],
  ['VGA', 8 * REGION, PAGE, 'EINVAL'],
  ['no region', 40 * REGION, PAGE, 'EINVAL'],
] as const)('mmap of %s', async (_what, offset, length, errno) => {
  const { lab, p, map } = await setup();
  const answer = await map(offset, length);
  if (errno) expect(answer).toBe(errno);
  else expect(answer).toBeGreaterThan(0);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('at a fixed address, where nothing else may be', async () => {
  const { p, map } = await setup();
  const va = 0x7e00_0000_0000;
  expect(await map(0, PAGE, { va })).toBe(va);
  expect(await map(0, PAGE, { va })).toBe('EEXIST');
  expect(await map(0, PAGE, { va: va + 4 })).toBe('EINVAL');
  expect((await p.run(p.process.mmap(PAGE, { va }))).ok).toBe(false);
});

it('a token in the wrong hands maps nothing; nor does a file without access', async () => {
  const { lab, p, engine } = await setup();
  const other = await lab.program('other');
  const { token, owner } = p.process.fileOf(engine.fd);
  const ask = (of: typeof p, its: string, to: string) =>
    lab.host.run(
      of.process.link.call(to, deviceApi.mapRegion, { token: its, offset: 0, va: 0, length: PAGE, prot: 3 }),
    );
  expect(await ask(other, token, owner)).toEqual({ ok: false, errno: 'EBADF' });
  const [name] = await p.must(p.process.listdir('/sys/bus/pci/devices/0000:00:04.0/vfio-dev'));
  const cdev = await p.must(p.process.open(`/dev/vfio/devices/${name}`));
  const file = p.process.fileOf(cdev);
  expect(await ask(p, file.token, file.owner)).toEqual({ ok: false, errno: 'EINVAL' });
});

it('the mapping holds the file: the device stays open and in its container until it is unmapped (b043)', async () => {
  const { lab, p, engine } = await setup();
  await p.close(engine.fd);
  expect(await p.must(p.process.load(engine.bar, 4))).toEqual(Uint8Array.of(0xed, 0, 0, 1));
  expect((await lab.host.run(p.process.open(`/dev/vfio/1`))).ok).toBe(false);
  await p.must(p.process.munmap(engine.bar, BAR_LENGTH));
  expect((await p.run(p.process.load(engine.bar, 4))).ok).toBe(false);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
