/** Capability 101: what Intel's drivers look for beside the device: OpRegion, host bridge, LPC bridge. */
import { ADDRESS, GraphicsHost, HEADLESS, IGD, NVIDIA, opregion } from './support/graphics.js';

const VENDOR_TYPE = 0x8000_8086;
const [OPREGION, HOST, LPC] = [9, 10, 11];
const CONFIG = 7;
const bytes = (g: Uint8Array | string, at: number, length: number): string =>
  typeof g === 'string' ? g : Buffer.from(g.subarray(at, at + length)).toString('hex');

it('101: type cap 0x80008086/1', async () => {
  const g = await GraphicsHost.boot({ opregion: opregion({}) });
  const fd = await g.device(IGD);
  expect(await g.regionCount(fd)).toBe(12);
  expect(await g.region(fd, OPREGION)).toEqual({ flags: 1, size: 8192, type: [VENDOR_TYPE, 1] });
  expect(await g.region(fd, HOST)).toEqual({ flags: 1, size: 256, type: [VENDOR_TYPE, 2] });
  expect(await g.region(fd, LPC)).toEqual({ flags: 1, size: 256, type: [VENDOR_TYPE, 3] });
  expect(await g.region(fd, 12)).toBe('EINVAL');
  expect(new TextDecoder().decode((await g.read(fd, OPREGION, 0, 16)) as Uint8Array)).toBe('IntelGraphicsMem');
  expect(bytes(await g.read(fd, HOST, 0, 12), 0, 12)).toBe('86801f190000000007000006');
  expect(bytes(await g.read(fd, LPC, 8, 4), 0, 4)).toBe('07000106');
  // Only to be read, up to their end.
  expect([await g.write(fd, OPREGION, 0, new Uint8Array(4)), await g.read(fd, OPREGION, 8192, 1)]).toEqual([
    'EINVAL',
    'EINVAL',
  ]);
  expect(((await g.read(fd, HOST, 250, 16)) as Uint8Array).length).toBe(6);
  expect(await g.host.run(g.p.mapDevice(fd, OPREGION * 2 ** 40, 4096))).toEqual({ ok: false, errno: 'EINVAL' });
  expect(g.host.broken()).toEqual([]);
});

it('101: the register with the address is virtual: a client may write over it, and nobody else sees that', async () => {
  const g = await GraphicsHost.boot({ opregion: opregion({}) });
  const register = async (fd: number) =>
    new DataView(((await g.read(fd, CONFIG, 0xfc, 4)) as Uint8Array).slice().buffer).getUint32(0, true);
  const fd = await g.device(IGD);
  expect(await register(fd)).toBe(ADDRESS);
  expect(await g.write(fd, CONFIG, 0xfc, Uint8Array.of(0, 0x10, 0xff, 0))).toBe(4);
  expect(await register(fd)).toBe(0xff1000);
  expect(g.host.broken()).toEqual([]);
  await g.host.run(g.p.close(fd));
  expect(await register(await g.device(IGD))).toBe(ADDRESS);
});

it.each([
  ['2.0, whose address is absolute, is shown as 2.1', 0x0200, 0x7a5b8000n, 0x7a5b8000],
  ['2.1, whose address is relative', 0x0201, 0x4000n, ADDRESS + 0x4000],
] as const)(
  '101: an extended VBT lies right behind the OpRegion: %s',
  async (_title, version, vbtAddress, register) => {
    const vbt = new TextEncoder().encode(`$VBT${'x'.repeat(7000)}`);
    const g = await GraphicsHost.boot({ opregion: opregion({ version, vbt, vbtAddress }) });
    const fd = await g.device(IGD);
    expect(await g.region(fd, OPREGION)).toMatchObject({ size: 8192 + vbt.length });
    expect(bytes(await g.read(fd, OPREGION, 0x16, 2), 0, 2)).toBe('0102');
    expect(bytes(await g.read(fd, OPREGION, 0x3ba, 8), 0, 8)).toBe('0020000000000000');
    expect(new TextDecoder().decode((await g.read(fd, OPREGION, 8192, 4)) as Uint8Array)).toBe('$VBT');
    expect(bytes(await g.read(fd, CONFIG, 0xfc, 4), 0, 4)).toBe(
      Buffer.from(Uint32Array.of(register).buffer).toString('hex'),
    );
  },
);

it.each([
  ['the firmware left none', { opregion: opregion({}), address: 0 }, 9],
  ['the register reads as ones', { opregion: opregion({}), address: 0xffffffff }, 9],
  ['there is no LPC bridge', { opregion: opregion({}), lpc: false }, 11],
  ['a display without VGA, on kernels after 6.12', { opregion: opregion({}), igdClass: '0x038000' }, 12],
  ['the same before', { opregion: opregion({}), igdClass: '0x038000', profile: '6.12' }, 9],
  ['another machine than a PC', { opregion: opregion({}), iommu: 'arm-smmu-v3' }, 9],
] as const)('101: regions when %s', async (_title, options, count) => {
  const g = await GraphicsHost.boot(options);
  expect(await g.regionCount(await g.device(IGD))).toBe(count);
  for (const bdf of [NVIDIA, HEADLESS]) expect(await g.regionCount(await g.device(bdf))).toBe(9);
});

it.each([
  ['what is there is no OpRegion', { opregion: opregion({ signature: 'IntelGraphicsMan' }) }],
  ['the host bridge is not Intel’s', { opregion: opregion({}), hostVendor: '0x1022' }],
] as const)('101: not opened, and left to nobody, when %s', async (_title, options) => {
  const g = await GraphicsHost.boot(options);
  expect([await g.open(IGD), await g.open(IGD)]).toEqual(['EINVAL', 'EINVAL']);
  const { ownedGroups, claims, cdevClaims } = g.host.figures('groups');
  expect({ ownedGroups, claims, cdevClaims }).toEqual({ ownedGroups: 0, claims: 0, cdevClaims: 0 });
  expect(g.host.broken()).toEqual([]);
});
