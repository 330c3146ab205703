import { fail } from '@vfiolab/uapi';
import { VFIO_GROUP_GET_DEVICE_FD } from '@vfiolab/uapi';
import { HOLD } from '../../../core/src/testing/bench.js';
import { groupBench } from '../testing/group-client.js';
import { files } from '../testing/machines.js';

const UUID = 'bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3';
const BDF = '0000:00:04.1';

function contained(fd: number, services = {}) {
  const b = groupBench(services);
  const token = b.open('/dev/vfio/2');
  b.set(token, fd);
  b.bench.heard.length = 0;
  return { b, token };
}

it.each([
  [10, 0],
  [11, 7],
])('opens the device at its actor, again and again (container %i, context %i)', (fd, context) => {
  const { b, token } = contained(fd);
  for (let i = 0; i < 2; i++) expect(b.device(token, BDF)).toBe('device of device:0000:00:04_1');
  expect(b.bench.heard).toEqual(
    Array(2).fill({
      to: 'device:0000:00:04_1',
      method: 'device.openInGroup',
      args: { client: 'client:tester', context },
    }),
  );
});

it.each([
  ['another group', '0000:00:03.0', 'ENODEV'],
  ['not on the host', '0000:00:1f.0', 'ENODEV'],
  ['nothing', '', 'ENODEV'],
  ['the beginning of a name', '0000:00:04', 'ENODEV'],
  ['more than the name', `${BDF}0`, 'ENODEV'],
  ['blanks behind it', `${BDF}  `, 'device of device:0000:00:04_1'],
  ['an unknown option', `${BDF} secret=1`, 'EINVAL'],
  ['no UUID', `${BDF} vf_token=1`, 'EINVAL'],
  ['a token that nobody asks for', `${BDF} vf_token=${UUID}`, 'EINVAL'],
  ['two tokens', `${BDF} vf_token=${UUID} vf_token=${UUID}`, 'EINVAL'],
])('the name: %s', (_title, name, answer) => {
  const { b, token } = contained(10);
  expect(b.device(token, name)).toBe(answer);
});

it('EINVAL: no container; a wrong name is ENODEV before', () => {
  const b = groupBench();
  const token = b.open('/dev/vfio/2');
  expect([b.device(token, BDF), b.device(token, 'x')]).toEqual(['EINVAL', 'ENODEV']);
});

it.each([
  ['EFAULT: there is nothing at the address', new Uint8Array(0), 'EFAULT'],
  ['EFAULT: memory ends before the string', Uint8Array.of(0x30, 0x30), 'EFAULT'],
  ['EINVAL: no end within a page', new Uint8Array(5000).fill(0x30), 'EINVAL'],
])('%s', (_title, bytes, errno) => {
  const { b, token } = contained(10);
  expect(b.ioctl(token, VFIO_GROUP_GET_DEVICE_FD.nr, bytes)).toBe(errno);
});

it.each(['EINVAL', 'EPERM', 'ENODEV', 'EAGAIN', 'EACCES'] as const)('%s of the device', (errno) => {
  const { b, token } = contained(11, { device: { openInGroup: () => fail(errno) } });
  expect(b.device(token, BDF)).toBe(errno);
});

it('ENODEV while the device is being unbound (b055)', () => {
  const { b, token } = contained(10, { device: { remove: () => HOLD } });
  const fs = files(b.bench);
  expect(() => fs.write('/sys/bus/pci/drivers/vfio-pci/unbind', BDF)).toThrow('still waits');
  expect(b.device(token, BDF)).toBe('ENODEV');
  expect(b.device(token, '0000:00:04.0')).toBe('device of device:0000:00:04_0');
});
