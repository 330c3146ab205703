import { FUNCTIONS, Lab } from './support/lab.js';

const BDF = FUNCTIONS[0];
const DIR = `/sys/bus/pci/devices/${BDF}/vfio-dev`;

it('46: /sys/bus/pci/devices/BDF/vfio-dev/vfioX exists only while bound to vfio', async () => {
  const lab = await Lab.real();
  const p = await lab.process('udev');
  const names = async (path: string) => {
    const r = await lab.run(p.process.listdir(path));
    return r.ok ? r.value : r.errno;
  };
  const write = (path: string, data: string) => p.must(p.process.sysfsWrite(`/sys/bus/pci/${path}`, data));
  const [minor, ...rest] = (await names(DIR)) as string[];
  expect([minor, rest]).toEqual([expect.stringMatching(/^vfio\d+$/), []]);
  expect(await names('/sys/class/vfio-dev')).toContain(minor);
  expect(await names('/dev/vfio/devices')).toContain(minor);
  const { major, minor: number } = await p.must(p.process.stat(`/dev/vfio/devices/${minor}`));
  expect(await p.must(p.process.sysfsRead(`${DIR}/${minor}/dev`))).toBe(`${major}:${number}\n`);
  expect(await p.must(p.process.sysfsRead(`${DIR}/${minor}/uevent`))).toBe(
    `MAJOR=${major}\nMINOR=${number}\nDEVNAME=vfio/devices/${minor}\n`,
  );
  expect(await p.must(p.process.readlink(`/sys/class/vfio-dev/${minor}`))).toMatch(
    new RegExp(`/${BDF}/vfio-dev/${minor}$`),
  );
  expect(await p.must(p.process.readlink(`${DIR}/${minor}/device`))).toBe(`../../../${BDF}`);
  expect(await p.must(p.process.readlink(`${DIR}/${minor}/subsystem`))).toMatch(/class\/vfio-dev$/);

  await write('drivers/vfio-pci/unbind', BDF);
  expect([await names(DIR), await names(`${DIR}/${minor}`)]).toEqual(['ENOENT', 'ENOENT']);
  expect(await names('/sys/class/vfio-dev')).not.toContain(minor);
  await write(`devices/${BDF}/driver_override`, 'pci-stub');
  await write('drivers_probe', BDF);
  expect(await names(DIR)).toBe('ENOENT');
  await write('drivers/pci-stub/unbind', BDF);
  await write(`devices/${BDF}/driver_override`, 'vfio-pci');
  await write('drivers_probe', BDF);
  expect(await names(DIR)).toEqual([minor]);
  expect(lab.broken()).toEqual([]);
});
