import { groupsApi } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { flagsOf } from './profile-flags.js';
import { type Client, boundBench, CONFIG } from './testing/client.js';
import { EDU } from './testing/functions.js';

const { VFIO_DEVICE_FEATURE_GET: GET, VFIO_DEVICE_FEATURE_SET: SET, VFIO_DEVICE_FEATURE_PROBE: PROBE } = uapi;
const { VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: ENTRY, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: EXIT } = uapi;
const { VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: WAKEUP, VFIO_DEVICE_FEATURE_DMA_BUF: DMA_BUF } = uapi;
const TOKEN = uapi.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN;

const feature = (c: Client, dev: string, flags: number, payload = 0, argsz = 8 + payload): string =>
  c.ioctl(dev, uapi.VFIO_DEVICE_FEATURE, { flags }, { tail: new Uint8Array(payload), argsz }).errno ?? 'ok';

describe('the flags are judged before anything else (trace b064)', () => {
  const { c, dev } = boundBench(EDU);
  test.each<[string, number, string]>([
    ['an unknown flag', 0x80001, 'EINVAL'],
    ['GET and SET without PROBE', GET | SET | ENTRY, 'EINVAL'],
    ['GET and SET of a feature that is not there', GET | SET | 1, 'EINVAL'],
    ['a feature that is not there', SET | 1, 'ENOTTY'],
    ['no operation', ENTRY, 'EINVAL'],
    ['no operation on a feature that is not there', 1, 'ENOTTY'],
    ['the wrong operation', GET | ENTRY, 'EINVAL'],
    ['PROBE', PROBE | ENTRY, 'ok'],
    ['PROBE of the operation', PROBE | SET | ENTRY, 'ok'],
    ['PROBE of the wrong operation', PROBE | GET | SET | ENTRY, 'EINVAL'],
    ['PROBE of what is not there', PROBE | 1, 'ENOTTY'],
    ['a payload that is too short', SET | WAKEUP, 'EINVAL'],
  ])('%s', (_what, flags, expected) => {
    expect(feature(c, dev, flags)).toBe(expected);
  });

  test('argsz below 8, and a struct that is not there', () => {
    expect(feature(c, dev, PROBE | ENTRY, 0, 7)).toBe('EINVAL');
    expect(c.ioctl(dev, uapi.VFIO_DEVICE_FEATURE, { flags: PROBE | ENTRY }, { present: 4 }).errno).toBe('EFAULT');
  });
});

describe('what kernels have', () => {
  test.each<['6.12' | '7.2' | '7.3', number, string]>([
    ['6.12', DMA_BUF, 'ENOTTY'],
    ['7.2', DMA_BUF, 'ok'],
    ['6.12', uapi.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, 'ENOTTY'],
    ['7.2', uapi.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, 'EINVAL'],
    ['7.3', uapi.VFIO_DEVICE_FEATURE_ZPCI_ERROR, 'ENOTTY'],
    ['7.2', uapi.VFIO_DEVICE_FEATURE_BUS_MASTER, 'ENOTTY'],
  ])('%s, feature %i: %s', (profile, number, expected) => {
    const { c, dev } = boundBench({ ...EDU, profile });
    expect(feature(c, dev, PROBE | number)).toBe(expected);
    expect(flagsOf(profile).profile).toBe(profile);
  });
});

test('a kernel that was built without it exports no BARs (trace b064 on Arm)', () => {
  const { c, dev } = boundBench({ ...EDU, profile: '7.2', exportsBars: false });
  expect([feature(c, dev, PROBE | DMA_BUF), feature(c, dev, GET | DMA_BUF, 32)]).toEqual(['ENOTTY', 'ENOTTY']);
});

describe('the VF token', () => {
  const pf = { ...EDU, sriov: true, profile: '7.2' };
  const bindWith = (c: Client, dev: string, flags: number, tokenAt: bigint): string | undefined =>
    c.ioctl(
      dev,
      uapi.VFIO_DEVICE_BIND_IOMMUFD,
      { iommufd: 3, flags },
      {
        argsz: 24,
        tail: new Uint8Array(BigUint64Array.of(tokenAt).buffer),
        fds: [{ fd: 3, token: 'ifd', owner: 'iommufd' }],
      },
    ).errno;

  test('is set and never read, and only a PF has one', () => {
    const { c, dev } = boundBench(pf);
    expect([feature(c, dev, SET | TOKEN, 15), feature(c, dev, SET | TOKEN, 16)]).toEqual(['EINVAL', 'ok']);
    expect(feature(c, dev, GET | TOKEN, 16)).toBe('EINVAL');
    const plain = boundBench(EDU);
    expect(feature(plain.c, plain.dev, SET | TOKEN, 16)).toBe('ENOTTY');
  });

  test('of PFs and VFs is groups’ to judge, and comes before the iommufd', () => {
    const { c, dev } = boundBench({ ...pf, sriov: false, vf: true });
    c.close(dev);
    c.h.world.tokens.length = 0;
    c.h.world.refusals.set(groupsApi.vfTokenMatch.name, 'EACCES');
    expect(bindWith(c, c.open(), 0, 0n)).toBe('EACCES');
    expect(c.h.world.claims).toBe(0);
    c.h.world.refusals.clear();
    expect(bindWith(c, c.open(), 0, 0n)).toBeUndefined();
    expect(c.h.world.tokens).toEqual([undefined]);
    const user = boundBench(pf);
    user.c.h.world.tokens.length = 0;
    feature(user.c, user.dev, SET | TOKEN, 16);
    expect(user.c.h.world.tokens.map((token) => token?.length)).toEqual([16]);
  });

  test('comes with BIND from 7.2 on; a function that is no PF takes none', () => {
    const [before, without, withIt] = [boundBench(EDU), boundBench({ ...EDU, profile: '7.2' }), boundBench(pf)];
    const again = ({ c, dev }: typeof before, at = 0x10000n): string | undefined => (
      c.close(dev),
      bindWith(c, c.open(), 1, at)
    );
    expect([again(before), again(without, 1n), again(withIt, 1n)]).toEqual(['EINVAL', 'EFAULT', 'EFAULT']);
    expect([
      bindWith(without.c, without.c.open(), 1, 0x10000n),
      bindWith(withIt.c, withIt.c.open(), 1, 0x10000n),
    ]).toEqual(['EINVAL', undefined]);
  });
});

describe('low power', () => {
  const wake = (c: Client, dev: string, fd: number, tokens = [`e${fd}`]): string | undefined =>
    c.ioctl(
      dev,
      uapi.VFIO_DEVICE_FEATURE,
      { flags: SET | WAKEUP },
      {
        tail: new Uint8Array(Int32Array.of(fd, 0).buffer),
        fds: tokens.map((token) => ({ fd, token, owner: 'pages' })),
      },
    ).errno;

  test('is entered once and left as often as one likes', () => {
    const { c, dev } = boundBench(EDU);
    const asked = [SET | ENTRY, SET | ENTRY, SET | EXIT, SET | EXIT, SET | ENTRY].map((flags) =>
      feature(c, dev, flags),
    );
    expect(asked).toEqual(['ok', 'EINVAL', 'ok', 'ok', 'ok']);
  });

  test('refused entries hold nothing', () => {
    const { c, dev } = boundBench(EDU);
    expect([wake(c, dev, -1), wake(c, dev, 20, ['memfd']), wake(c, dev, 20, [])]).toEqual([
      'EINVAL',
      'EINVAL',
      'EBADF',
    ]);
    expect(feature(c, dev, SET | ENTRY)).toBe('ok');
    expect(wake(c, dev, 10)).toBe('EINVAL');
    expect(c.h.core.figures()).toMatchObject({ heldEventfds: 0 });
  });

  test('goes with a restart, and the eventfd is given back on close', () => {
    const { c, dev } = boundBench(EDU);
    expect(wake(c, dev, 10)).toBeUndefined();
    c.h.restart();
    expect(c.h.core.figures()).toMatchObject({ heldEventfds: 1 });
    expect(c.h.core.describe().join()).toContain('low power');
    expect(c.pread(dev, CONFIG, 2)).toBe('3412');
    expect([c.h.world.take('e10'), c.h.core.figures()['heldEventfds']]).toEqual([1, 0]);
    expect(wake(c, dev, 10)).toBeUndefined();
    c.close(dev);
    expect(c.h.world).toMatchObject({ holds: new Map() });
  });
});
