/**
 * Capability 105: the feature that switches the bus master of CDX devices.
 *
 * Rule: there is no CDX bus in the lab. A PCI function has its command register for that, and not the feature.
 */
import {
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_GET_INFO,
} from '@vfiolab/uapi';
import { COMMAND, Host, NOTHING } from './support/passthrough.js';

const CDX = 0x100;
const [GET, SET, PROBE] = [VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_PROBE];

it.each(['6.12', '7.2', '7.3'])('105: feature 10 only on CDX: ENOTTY on a PCI function (%s)', async (profile) => {
  const host = await Host.boot({ profile });
  const p = await host.program('vmm');
  const d = await p.device();
  expect((await p.ioctl(d.fd, VFIO_DEVICE_GET_INFO, { argsz: 16 })).flags & CDX).toBe(0);
  for (const flags of [SET, GET, PROBE, PROBE | SET, PROBE | GET | SET])
    for (const op of [0, 1]) {
      const { errno } = await d.feature(flags | VFIO_DEVICE_FEATURE_BUS_MASTER, Uint8Array.of(op, 0, 0, 0));
      expect([flags, errno]).toEqual([flags, 'ENOTTY']);
    }
  expect(await d.read(COMMAND, 2)).toBe(6n);
  expect(await host.afterwards(p)).toEqual(NOTHING);
});
