/**
 * Capability 104: errors freeze a partitionable endpoint (PE) where the host bridge does that (semantics C10.5).
 *
 * Rule: the recorded bridge (QEMU's) freezes nothing, so this is the kernel's rule on the hardware it was written for.
 */
import { VFIO_EEH_PE_OP } from '@vfiolab/uapi';
import { NOTHING, type OpenEngine, type VfioProgram } from './support/container-lab.js';
import { ALONE, BRIDGED, powerLab, registeredMemory, TCE, V2 } from './support/power-lab.js';

const [ENABLE, THAW_IO, THAW_DMA, GET_STATE, RESET_OVER, RESET_HOT, FUNDAMENTAL, CONFIGURE, INJECT] = [
  1, 2, 3, 4, 5, 6, 7, 8, 9,
];
const [NORMAL, STOPPED, STOPPED_DMA, UNAVAILABLE] = [0, 2, 4, 5];
const [LOAD_CONFIG, STORE_CONFIG] = [5, 11];
const CONFIG = 7 * 2 ** 40;
const ONES = Uint8Array.of(0xff, 0xff, 0xff, 0xff);
const ID = Uint8Array.of(1, 0, 0, 0xed);
const OUTSIDE = 0x8000_0000n;

async function ready(bdfs: readonly string[] = [ALONE], iommu = 'ppc64-pnv-full') {
  const lab = await powerLab('P-powernv9', { iommu });
  const p = await lab.program('vmm');
  const { container, groups } = await p.ready([bdfs[0]!], V2);
  const engines: OpenEngine[] = [];
  for (const bdf of bdfs) engines.push(await p.engine(groups[0]!, bdf));
  const va = await registeredMemory(p, container, 1, 0x11);
  expect(await p.map(container, { vaddr: va, iova: 0n, size: 2n * TCE })).toBeUndefined();
  const op = async (n: number, err = {}) => {
    const { ret, errno } = await p.ioctl(container, VFIO_EEH_PE_OP, { op: n, err });
    return errno ?? ret;
  };
  const crash = async (...services: string[]) => {
    for (const service of services) lab.host.host.crash(service, 5);
  };
  return { lab, p, engine: engines[0]!, engines, va, op, crash };
}

const id = (p: VfioProgram, { bar }: OpenEngine) => p.must(p.process.load(bar, 4));
const idByRead = (p: VfioProgram, { fd }: OpenEngine) => p.must(p.process.pread(fd, 0, 4));
const vendor = (p: VfioProgram, { fd }: OpenEngine) => p.must(p.process.pread(fd, CONFIG, 2));

/** Does DMA get through? */
async function moves(p: VfioProgram, engine: OpenEngine, va: bigint): Promise<boolean> {
  await p.must(p.process.write(Number(va), Uint8Array.of(0x55)));
  await p.must(p.process.write(Number(va + TCE), Uint8Array.of(0x77)));
  await p.copy(engine, 0n, TCE, 1);
  return (await p.byteAt(va + TCE)) === 0x55;
}

it('104: DMA outside of the windows freezes the PE; IO and DMA thaw one by one', async () => {
  const { lab, p, engine, va, op } = await ready();
  expect([await op(GET_STATE), await moves(p, engine, va)]).toEqual([NORMAL, true]);
  await p.copy(engine, OUTSIDE, TCE, 1);
  expect(await op(GET_STATE)).toBe(STOPPED);
  expect([await id(p, engine), await idByRead(p, engine)]).toEqual([ONES, ONES]);
  expect(await vendor(p, engine)).toEqual(Uint8Array.of(0x34, 0x12));
  expect([await op(THAW_IO), await op(GET_STATE)]).toEqual([0, STOPPED_DMA]);
  expect(await id(p, engine)).toEqual(ID);
  // The PE freezes again when its function tries.
  expect([await moves(p, engine, va), await op(GET_STATE)]).toEqual([false, STOPPED]);
  expect([await op(THAW_DMA), await op(GET_STATE)]).toEqual([0, UNAVAILABLE]);
  expect([await op(THAW_IO), await op(GET_STATE)]).toEqual([0, NORMAL]);
  expect(await moves(p, engine, va)).toBe(true);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('104: a restart of the services keeps what is frozen', async () => {
  const { p, engine, va, op, crash } = await ready();
  await p.copy(engine, OUTSIDE, TCE, 1);
  await crash('iommu', 'container', 'device:0000:01:00_0');
  expect([await op(GET_STATE), await id(p, engine)]).toEqual([STOPPED, ONES]);
  expect([await op(THAW_IO), await op(THAW_DMA), await op(GET_STATE)]).toEqual([0, 0, NORMAL]);
  expect(await moves(p, engine, va)).toBe(true);
});

it.each([
  ['hot', RESET_HOT],
  ['fundamental', FUNDAMENTAL],
])('104: a %s reset freezes, its end thaws', async (_name, reset) => {
  const { lab, p, engine, va, op } = await ready();
  await p.copy(engine, OUTSIDE, TCE, 1);
  expect([await op(reset), await op(GET_STATE)]).toEqual([0, STOPPED]);
  expect([await op(RESET_OVER), await op(CONFIGURE), await op(GET_STATE)]).toEqual([0, 0, NORMAL]);
  expect(await id(p, engine)).toEqual(ID);
  await p.command(engine.fd, 6);
  expect(await moves(p, engine, va)).toBe(true);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it.each([
  ['load', LOAD_CONFIG],
  ['store', STORE_CONFIG],
])('104: an injected error waits for a %s of config space, and spoils it', async (what, func) => {
  const { lab, p, engine, op, crash } = await ready();
  const isLoad = what === 'load';
  expect([await op(INJECT, { func }), await op(GET_STATE)]).toEqual([0, NORMAL]);
  await crash('iommu');
  const cacheLine = CONFIG + 0xc;
  const store = (value: number) => p.must(p.process.pwrite(engine.fd, cacheLine, Uint8Array.of(value)));
  if (isLoad) await store(0x10);
  else expect(await vendor(p, engine)).toEqual(Uint8Array.of(0x34, 0x12));
  expect(await op(GET_STATE)).toBe(NORMAL);
  if (isLoad) expect(await vendor(p, engine)).toEqual(Uint8Array.of(0xff, 0xff));
  else await store(0x20);
  expect([await op(GET_STATE), await id(p, engine)]).toEqual([STOPPED, ONES]);
  expect(await p.must(p.process.pread(engine.fd, cacheLine, 1))).toEqual(Uint8Array.of(isLoad ? 0x10 : 0));
  expect([await op(ENABLE), await op(GET_STATE)]).toEqual([0, NORMAL]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});

it('104: all functions of the PE are frozen, and whoever opens it next finds it thawed', async () => {
  const { lab, p, engines, op } = await ready(BRIDGED);
  const [one, other] = engines as [OpenEngine, OpenEngine];
  await p.copy(one, OUTSIDE, TCE, 1);
  expect([await op(GET_STATE), await id(p, other)]).toEqual([STOPPED, ONES]);
  await lab.host.run(p.process.exit());
  const q = await lab.program('next');
  const { groups } = await q.ready([BRIDGED[0]], V2);
  expect(await id(q, await q.engine(groups[0]!, BRIDGED[0]))).toEqual(ID);
  expect(await lab.afterwards(q)).toEqual(NOTHING);
});

it('104: a bridge that freezes nothing goes on (p061, p064)', async () => {
  const { lab, p, engine, va, op } = await ready([ALONE], 'ppc64-pnv');
  await p.copy(engine, OUTSIDE, TCE, 1);
  expect(await op(INJECT, { func: LOAD_CONFIG })).toBe(0);
  expect(await vendor(p, engine)).toEqual(Uint8Array.of(0x34, 0x12));
  expect([await op(GET_STATE), await id(p, engine), await moves(p, engine, va)]).toEqual([NORMAL, ID, true]);
  expect(await lab.afterwards(p)).toEqual(NOTHING);
});
