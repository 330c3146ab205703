/**
 * Capability 65: a device that cannot answer. Binding it is a step of its own, so what is wrong with the device is not taken for
 * something that is wrong with the IOMMU.
 */
import { ContainerLab, NOTHING, type VfioProgram } from './support/container-lab.js';
import { ALONE, Program2010, program2010 } from './support/designs-2010.js';

/** It has power management, as recorded. */
const NETWORK_CARD = '0000:05:00.0';
const CONFIG = 7 * 2 ** 40;
const [COMMAND, CAPABILITIES] = [4, 0x34];
const [POWER_MANAGEMENT, CONTROL, D0, D3] = [1, 4, 0, 3];
const EDU_ID = [0xed, 0, 0, 1];

/** Where a capability of config space is. */
async function capability(p: VfioProgram, fd: number, id: number): Promise<number> {
  const byte = async (at: number) => (await p.must(p.process.pread(fd, CONFIG + at, 1)))[0]!;
  let at = await byte(CAPABILITIES);
  while (at !== 0 && (await byte(at)) !== id) at = await byte(at + 1);
  return at;
}

it('65: in D3 registers are EIO, config space answers, and the mappings wait for D0', async () => {
  const lab = await ContainerLab.boot({ teaching: 'uiommu2010' });
  const t = new Program2010(await lab.program('program'));
  const { p } = t;
  const [domain, device] = [await t.domain(), await t.device(NETWORK_CARD)];
  const va = await t.mapped(domain);
  expect(await t.bind(device, domain)).toBe(0);
  await p.command(device, 6);
  const power = (state: number) => p.must(p.process.pwrite(device, CONFIG + at + CONTROL, Uint8Array.of(state, 0)));
  const id = () => p.run(p.process.pread(device, 0, 4));
  const at = await capability(p, device, POWER_MANAGEMENT);
  expect(at).toBeGreaterThan(0);
  expect([...(await p.must(id()))]).toEqual(EDU_ID);
  await power(D3);
  expect(await id()).toEqual({ ok: false, errno: 'EIO' });
  expect((await p.run(p.process.pread(device, CONFIG + COMMAND, 2))).ok).toBe(true);
  expect(await t.map(domain, va, { iova: 0x500000n })).toBeUndefined();
  await power(D0);
  expect([...(await p.must(id()))]).toEqual(EDU_ID);
  expect(await t.sees(device, va)).toBe(true);
  expect(await t.lab.afterwards(p)).toEqual(NOTHING);
});

it('65: a device that is being taken away: it cannot be opened any more, whoever has it may go on', async () => {
  const t = await program2010();
  const { p } = t;
  const domain = await t.domain();
  const va = await t.mapped(domain);
  const device = await t.device(ALONE);
  expect(await t.bind(device, domain)).toBe(0);
  const [name] = await p.must(p.process.listdir(`/sys/bus/pci/devices/${ALONE}/vfio-dev`));
  const admin = await t.lab.program('admin');
  const unbound = admin.process.sysfsWrite('/sys/bus/pci/drivers/vfio-pci/unbind', ALONE);
  const gone = ['ENODEV', 'ENOENT'];
  expect(gone).toContain(await t.open(`/dev/${name}`));
  expect(await t.open(`/dev/${name}`)).toBe('ENOENT');
  expect(await t.sees(device, va)).toBe(true);
  await p.close(device);
  expect((await p.run(unbound)).ok).toBe(true);
  expect(await t.lab.afterwards(p, admin)).toEqual(NOTHING);
});
