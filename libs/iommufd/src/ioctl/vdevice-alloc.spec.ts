import { MOCK_UNIT } from '@vfiolab/core';
import { IOMMU_DESTROY, IOMMU_VDEVICE_ALLOC, IOMMU_VIOMMU_ALLOC, type KernelProfile } from '@vfiolab/uapi';
import { BoundDevice, Context } from '../context.js';
import { PagingHwpt } from '../hwpt.js';
import { Ioas } from '../ioas.js';
import type { IommufdObject } from '../objects.js';
import { CMDQV, queueBench } from '../testing/cmdqv-bench.js';
import { MockBench } from '../testing/mock-bench.js';
import { readOnly, refusal, refused } from '../testing/refusal.js';
import { linkVdevice, Vdevice, Viommu } from '../viommu.js';
import { roomForStream } from '../vintf.js';
import { vdeviceAlloc } from './vdevice-alloc.js';

async function setup(profile: KernelProfile = '7.2') {
  const b = await MockBench.boot(profile);
  const ioas = await b.ioas();
  const { object, device } = await b.mock(ioas);
  const { device: other } = await b.mock(ioas);
  const made = { type: 0xdeadbeef, dev_id: device, hwpt_id: await b.hwpt(device, ioas, 1) };
  const viommu_id = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  return { b, object, other, made, ids: { ioas }, base: { viommu_id, dev_id: device, virt_id: 9n } };
}

it('6.12 does not have it', async () => {
  const { b, base } = await setup('6.12');
  expect(await refusal(b, IOMMU_VDEVICE_ALLOC, base)).toEqual(refused('ENOTTY'));
});

it.each([
  ['a vIOMMU that does not exist', { viommu_id: 99, dev_id: 99 }, 'ENOENT'],
  ['an object that is no vIOMMU', { viommu_id: 'ioas' }, 'ENOENT'],
  ['a device that does not exist', { dev_id: 99 }, 'ENOENT'],
  ['an object that is no device', { dev_id: 'ioas' }, 'ENOENT'],
] as const)('%s', async (_why, fields, errno) => {
  const { b, ids, base } = await setup();
  const named = { ...base, ...fields };
  const viommu_id = named.viommu_id === 'ioas' ? ids.ioas : named.viommu_id;
  const dev_id = named.dev_id === 'ioas' ? ids.ioas : named.dev_id;
  expect(await refusal(b, IOMMU_VDEVICE_ALLOC, { ...named, viommu_id, dev_id })).toEqual(refused(errno));
});

it('a device has one id, whichever vIOMMU; an id in a vIOMMU belongs to one device: EEXIST', async () => {
  const { b, base, made, other } = await setup();
  const { out_vdevice_id: id } = (await b.ioctl(IOMMU_VDEVICE_ALLOC, base)).out;
  const second = (await b.ioctl(IOMMU_VIOMMU_ALLOC, made)).out.out_viommu_id;
  for (const again of [{}, { virt_id: 8n }, { viommu_id: second }, { dev_id: other }])
    expect(await refusal(b, IOMMU_VDEVICE_ALLOC, { ...base, ...again })).toEqual(refused('EEXIST'));
  expect(await b.errno(IOMMU_VDEVICE_ALLOC, { ...base, viommu_id: second, dev_id: other })).toBeUndefined();
  await b.errno(IOMMU_DESTROY, { id });
  expect(await b.errno(IOMMU_VDEVICE_ALLOC, base)).toBeUndefined();
});

it('any 64 bits are an id', async () => {
  const { b, base } = await setup();
  expect(await b.errno(IOMMU_VDEVICE_ALLOC, { ...base, virt_id: (1n << 64n) - 1n })).toBeUndefined();
});

it('a device that leaves is ENOENT', async () => {
  const { b, object, base } = await setup();
  const leaving = b.p.ioctl(b.fd, IOMMU_DESTROY, { id: object });
  const call = b.p.ioctl(b.fd, IOMMU_VDEVICE_ALLOC, base);
  const [left, answer] = await b.run(Promise.all([leaving, call]));
  expect([left.errno, answer.errno]).toEqual([undefined, 'ENOENT']);
  expect(b.host.broken()).toEqual([]);
});

// No host has mock devices beside an IOMMU, so the two are put into one context by hand.
it('a device behind another IOMMU is EINVAL, before an id that is taken', () => {
  const context = new Context(1);
  const add = <T extends IommufdObject>(object: T): T => {
    context.objects.reserve(object);
    context.objects.finalize(object);
    return object;
  };
  const domain = {
    domain: 1,
    granule: 12,
    first: 0n,
    last: 0xffffn,
    pageSizes: 0x1000n,
    coherent: false,
    unit: MOCK_UNIT,
  };
  const viommu = add(new Viommu(add(new PagingHwpt(add(new Ioas()), domain, 1, true)), MOCK_UNIT));
  const device = add(new BoundDevice('0000:00:01.0', context.igroup(1, ['0000:00:01.0'])));
  linkVdevice(add(new Vdevice(viommu, add(new BoundDevice('0000:00:02.0', context.igroup(2, []))), 9n)));
  const cmd = { size: 24, viommu_id: viommu.id, dev_id: device.id, out_vdevice_id: 0, virt_id: 9n };
  const op = vdeviceAlloc({ file: { context } } as Parameters<typeof vdeviceAlloc>[0], cmd);
  let step = op.next();
  // The only question to another service: which IOMMU the device is behind.
  while (!step.done) step = op.next({ unit: 0, viommus: [] });
  expect(step.value).toEqual({ ok: false, errno: 'EINVAL' });
});

it('a struct that cannot be written is EFAULT, and the device has no id', async () => {
  const { b, base } = await setup();
  expect(await readOnly(b, IOMMU_VDEVICE_ALLOC, base)).toEqual(refused('EFAULT'));
});

it('a stream id has 32 bits; there is room for 16 devices, in a VINTF', async () => {
  const b = await queueBench();
  const named = { viommu_id: b.viommu_id, dev_id: b.device, virt_id: 1n << 32n };
  expect(await refusal(b, IOMMU_VDEVICE_ALLOC, named)).toEqual(refused('EINVAL'));
  expect((await b.ioctl(IOMMU_VDEVICE_ALLOC, { ...named, virt_id: 0xffffffffn })).errno).toBeUndefined();
  const full = (kind: number, count: number): Viommu => {
    const viommu = new Viommu({} as PagingHwpt, 0, kind);
    for (let n = 0; n < count; n++) viommu.devices.set(BigInt(n), {} as Vdevice);
    return viommu;
  };
  expect(roomForStream(full(CMDQV, 15), 15n)).toMatchObject({ ok: true });
  expect(roomForStream(full(CMDQV, 16), 16n)).toEqual({ ok: false, errno: 'ENOSPC' });
  expect(roomForStream(full(1, 16), 1n << 32n)).toMatchObject({ ok: true });
});
