/** Programs of POWER send other ioctl numbers, and their host takes no others. */
import { readFileSync } from 'node:fs';
import { TestHost } from '@vfiolab/sim';
import { toPowerpc, VFIO_API_VERSION, VFIO_GET_API_VERSION, VFIO_CHECK_EXTENSION } from '@vfiolab/uapi';

const machine = readFileSync(new URL('../machines/imac-cometlake.json', import.meta.url), 'utf8');

async function asks(iommu: string) {
  const host = await TestHost.boot({ machine, iommu });
  const p = await host.process('program');
  const fd = await host.run(p.open('/dev/vfio/vfio'));
  const raw = async (nr: number, arg = 0) => {
    const { ret, errno } = await host.run(p.ioctlAt(fd.ok ? fd.value : -1, nr, arg, []));
    return errno ?? ret;
  };
  return { host, p, fd: fd.ok ? fd.value : -1, raw };
}

const { nr } = VFIO_GET_API_VERSION;

it('a POWER host knows the numbers of powerpc, by name and as they are sent', async () => {
  const { host, p, fd, raw } = await asks('ppc64-pnv');
  expect([p.powerpc, toPowerpc(nr)]).toEqual([true, 0x20003b64]);
  expect([await raw(0x20003b64), await raw(nr)]).toEqual([VFIO_API_VERSION, 'EINVAL']);
  expect(await raw(toPowerpc(VFIO_CHECK_EXTENSION.nr), 7)).toBe(1);
  expect((await host.run(p.ioctlPlain(fd, VFIO_GET_API_VERSION))).ret).toBe(VFIO_API_VERSION);
  host.host.crash('pages', 5);
  const later = await host.process('later');
  expect(later.powerpc).toBe(true);
});

it('others know their own', async () => {
  const { p, raw } = await asks('intel-vtd');
  expect([p.powerpc, await raw(nr), await raw(0x20003b64)]).toEqual([false, VFIO_API_VERSION, 'EINVAL']);
});
