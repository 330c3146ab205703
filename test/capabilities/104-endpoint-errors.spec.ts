import { VFIO_EEH_PE_OP } from '@vfiolab/uapi';
import { NOTHING, type OpenEngine, type VfioProgram } from './support/container-lab.js';
import { ALONE, powerLab, registeredMemory, TCE, V2 } from './support/power-lab.js';

const [GET_STATE, RESET_OVER, RESET_HOT, RESET_FUNDAMENTAL, CONFIGURE, INJECT] = [4, 5, 6, 7, 8, 9];
const CONFIG = 7 * 2 ** 40;
const ID = Uint8Array.of(1, 0, 0, 0xed);

async function ready() {
  const lab = await powerLab();
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready([ALONE], V2);
  const engine = await p.engine(groups[0]!, ALONE);
  const va = await registeredMemory(p, container, 1, 0x11);
  expect(await p.map(container, { vaddr: va, iova: 0n, size: 2n * TCE })).toBeUndefined();
  const op = async (n: number, err = {}) => (await p.ioctl(container, VFIO_EEH_PE_OP, { op: n, err })).errno ?? 0;
  return { lab, p, engine, va, op };
}

const id = (p: VfioProgram, { bar }: OpenEngine) => p.must(p.process.load(bar, 4));
const config = (p: VfioProgram, { fd }: OpenEngine) => p.run(p.process.pread(fd, CONFIG + 4, 2));

it('104: in a hot reset config space and registers are gone; afterwards the device starts again, without DMA', async () => {
  const { lab, p, engine, va, op } = await ready();
  await p.copy(engine, 0n, TCE, 1);
  expect([await op(RESET_HOT), await op(GET_STATE)]).toEqual([0, 0]);
  expect(await config(p, engine)).toEqual({ ok: false, errno: 'ENODEV' });
  expect(await p.run(p.process.pwrite(engine.fd, CONFIG + 4, Uint8Array.of(6, 0)))).toEqual({
    ok: false,
    errno: 'ENODEV',
  });
  expect(await id(p, engine)).toEqual(new Uint8Array(4));
  expect([await op(RESET_OVER), await op(CONFIGURE)]).toEqual([0, 0]);
  expect(await config(p, engine)).toEqual({ ok: true, value: Uint8Array.of(2, 1) });
  expect(await id(p, engine)).toEqual(ID);
  await p.must(p.process.write(Number(va + TCE), Uint8Array.of(0x77)));
  await p.copy(engine, 0n, TCE, 1);
  expect(await p.byteAt(va + TCE)).toBe(0x77);
  await p.command(engine.fd, 6);
  await p.copy(engine, 0n, TCE, 1);
  expect(await p.byteAt(va + TCE)).toBe(0x11);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('104: a fundamental reset takes config space away, and leaves the device as it was (p062)', async () => {
  const { lab, p, engine, op } = await ready();
  expect(await op(RESET_FUNDAMENTAL)).toBe(0);
  expect(await config(p, engine)).toEqual({ ok: false, errno: 'ENODEV' });
  expect(await id(p, engine)).toEqual(ID);
  expect(await op(RESET_OVER)).toBe(0);
  expect(await config(p, engine)).toEqual({ ok: true, value: Uint8Array.of(6, 1) });
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('104: errors are injected as far as the firmware does it; a device that is closed in a reset starts anew', async () => {
  const { lab, p, engine, op } = await ready();
  expect([await op(INJECT, { func: 5 }), await op(INJECT, { func: 12 })]).toEqual([0, 'EIO']);
  expect([await op(INJECT, { type: 2 }), await op(INJECT, { func: 20 })]).toEqual(['ERANGE', 'EINVAL']);
  expect(await op(RESET_HOT)).toBe(0);
  await p.must(p.process.munmap(engine.bar, 0x100000));
  await p.close(engine.fd);
  await lab.host.run(p.process.exit());
  const q = await lab.program('next');
  const { groups } = await q.ready([ALONE], V2);
  expect(await id(q, await q.engine(groups[0]!, ALONE))).toEqual(ID);
  expect(await lab.afterwards(q)).toEqual(NOTHING);
});
