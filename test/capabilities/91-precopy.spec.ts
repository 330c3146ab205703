import { REG_LIVENESS } from '@vfiolab/devices';
import * as uapi from '@vfiolab/uapi';
import { moveTo, precopyInfo, readAll, stateOf, writeAll } from './support/migrating.js';
import { BDFS, Host, NOTHING } from './support/passthrough.js';

const { VFIO_DEVICE_STATE_ERROR: ERROR, VFIO_DEVICE_STATE_STOP: STOP, VFIO_DEVICE_STATE_RUNNING: RUNNING } = uapi;
const { VFIO_DEVICE_STATE_STOP_COPY: STOP_COPY, VFIO_DEVICE_STATE_RESUMING: RESUMING } = uapi;
const { VFIO_DEVICE_STATE_RUNNING_P2P: RUNNING_P2P, VFIO_DEVICE_STATE_PRE_COPY: PRE_COPY } = uapi;
const { VFIO_DEVICE_STATE_PRE_COPY_P2P: PRE_COPY_P2P } = uapi;

it('91: PRE_COPY gives what there is, ENOMSG at a temporary end, and the rest in STOP_COPY', async () => {
  const host = await Host.boot({ model: 'migratable-engine' });
  const p = await host.program('vmm');
  const [from, to] = [await p.device(BDFS[0]), await p.device(BDFS[1])];
  const fd = (await moveTo(from, PRE_COPY)) as number;
  const [, size] = (await precopyInfo(from, fd)) as number[];
  const first = await readAll(from, fd);
  expect([first.bytes.length, first.errno]).toEqual([size, 'ENOMSG']);
  expect(await precopyInfo(from, fd)).toEqual([0, 0, 0]);
  // The function goes on, and what changed is to be read again.
  await from.write(REG_LIVENESS, 5n);
  expect(await precopyInfo(from, fd)).toEqual([0, 0, size]);
  const second = await readAll(from, fd);
  await from.write(REG_LIVENESS, 6n);
  expect(await moveTo(from, STOP_COPY)).toBe(-1);
  expect(await precopyInfo(from, fd)).toBe('EINVAL');
  const last = await readAll(from, fd);
  expect([second.bytes.length, last.bytes.length, last.errno]).toEqual([size, size, undefined]);

  const resuming = (await moveTo(to, RESUMING)) as number;
  for (const { bytes } of [first, second, last]) await writeAll(to, resuming, bytes);
  expect(await moveTo(to, RUNNING)).toBe(-1);
  expect(await to.read(REG_LIVENESS)).toBe(0xfffffff9n);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});

it('91: blocked arcs are EINVAL and change nothing; the others walk', async () => {
  const host = await Host.boot({ model: 'migratable-engine' });
  const p = await host.program('vmm');
  const d = await p.device();
  expect((await moveTo(d, STOP_COPY)) as number).toBeGreaterThan(0);
  for (const blocked of [PRE_COPY, PRE_COPY_P2P, ERROR, 8]) expect(await moveTo(d, blocked)).toBe('EINVAL');
  expect(await stateOf(d)).toBe(STOP_COPY);
  expect(await moveTo(d, RUNNING_P2P)).toBe(-1);
  expect((await moveTo(d, PRE_COPY_P2P)) as number).toBeGreaterThan(0);
  expect(await moveTo(d, PRE_COPY)).toBe(-1);
  expect(await moveTo(d, STOP)).toBe(-1);
  expect((await moveTo(d, PRE_COPY)) as number).toBeGreaterThan(0);
  expect(await stateOf(d)).toBe(PRE_COPY);
});

it('91: in a P2P state registers take writes and no DMA starts', async () => {
  const host = await Host.boot({ model: 'migratable-engine' });
  const p = await host.program('vmm');
  const d = await p.device();
  const va = await p.mapped(0x10000n, 4096);
  await p.must(p.process.write(va, Uint8Array.of(9)));
  expect(await moveTo(d, RUNNING_P2P)).toBe(-1);
  await d.write(REG_LIVENESS, 2n);
  await d.store(0x10000n, 1);
  expect(await d.read(REG_LIVENESS)).toBe(0xfffffffdn);
  expect([...(await p.must(p.process.read(va, 1)))]).toEqual([9]);
});
