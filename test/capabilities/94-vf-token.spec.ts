/**
 * Capability 94: a VF whose PF a user drives is opened with the PF's token, by its group and, since 7.2, by its cdev (semantics
 * A3.7).
 */
import * as uapi from '@vfiolab/uapi';
import { PF, SriovHost, VF } from './support/sriov.js';

const SECRET = '00112233-4455-6677-8899-aabbccddeeff';
const OTHER = '11111111-2222-3333-4444-555555555555';
const bytes = (uuid: string): Uint8Array => Uint8Array.from(Buffer.from(uuid.replaceAll('-', ''), 'hex'));

it('94: by the group: the PF’s user sets the token, the VF’s shows it; while that has the VF, so does who opens the PF', async () => {
  const host = await SriovHost.boot('6.12');
  await host.userPf(1);
  const [pf, vf] = [await host.opener('pf', PF), await host.opener('vf', VF)];
  expect([await vf.byGroup(), await vf.byGroup(OTHER)]).toEqual(['EACCES', 'EACCES']);
  expect(await pf.byGroup(undefined, true)).toBe('fd');
  expect((await pf.setToken(SECRET)).errno).toBeUndefined();
  await pf.close();
  expect([await vf.byGroup(), await vf.byGroup(OTHER), await vf.byGroup(`${SECRET}0`)]).toEqual([
    'EACCES',
    'EACCES',
    'EINVAL',
  ]);
  expect(await vf.byGroup(SECRET, true)).toBe('fd');
  expect([await pf.byGroup(), await pf.byGroup(OTHER), await pf.byGroup(SECRET)]).toEqual(['EACCES', 'EACCES', 'fd']);
  await vf.close();
  expect([await pf.byGroup(OTHER), await vf.byGroup(SECRET), await vf.byGroup(OTHER)]).toEqual(['fd', 'EACCES', 'fd']);
  await vf.exit();
  await pf.exit();
  expect(host.host.broken()).toEqual([]);
});

it('94: a VF whose PF the host drives takes none', async () => {
  const host = await SriovHost.boot('6.12');
  await host.numVfs(1);
  await host.toVfio(VF);
  const vf = await host.opener('vf', VF);
  expect([await vf.byGroup(SECRET), await vf.byGroup()]).toEqual(['EINVAL', 'fd']);
});

it.each([
  ['6.12', [undefined], 'EINVAL'],
  ['7.2', ['EACCES', 'EACCES', undefined], undefined],
] as const)('94: by the cdev (%s)', async (profile, answers, flagged) => {
  const host = await SriovHost.boot(profile);
  await host.userPf(1);
  const p = await host.host.process('vmm');
  const run = async <T>(work: Promise<uapi.Result<T>>): Promise<T> => {
    const done = await host.host.run(work);
    if (!done.ok) throw new Error(done.errno);
    return done.value;
  };
  const iommufd = await run(p.open('/dev/iommu'));
  const bind = async (bdf: string, uuid?: string) => {
    const [cdev] = await run(p.listdir(`/sys/bus/pci/devices/${bdf}/vfio-dev`));
    const fd = await run(p.open(`/dev/vfio/devices/${cdev}`));
    const token = uuid === undefined ? {} : { flags: 1, token_uuid_ptr: bytes(uuid) };
    const fields = { argsz: profile === '6.12' ? 16 : 24, iommufd, ...token };
    const { errno } = await host.host.run(p.ioctl(fd, uapi.VFIO_DEVICE_BIND_IOMMUFD, fields));
    await run(p.close(fd));
    return errno;
  };
  expect(await bind(PF, SECRET)).toBe(flagged);
  const asked = [await bind(VF), await bind(VF, OTHER), await bind(VF, SECRET)];
  expect(asked.slice(0, answers.length)).toEqual(answers);
  await host.host.run(p.exit());
  expect(host.host.broken()).toEqual([]);
});
