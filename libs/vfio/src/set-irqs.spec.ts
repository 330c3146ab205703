import { deviceApi, pagesApi } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { boundBench, CONFIG, type Client, eventFd } from './testing/client.js';
import { E1000E, EDU } from './testing/functions.js';

const [INTX, MSI, MSIX, ERR, REQ] = [0, 1, 2, 3, 4];
const TRIGGER_NONE = 33;
const TRIGGER_BOOL = 34;
const UNMASK_NONE = 17;
const UNMASK_EVENTFD = 20;
const MASK_NONE = 9;
const RAISE = 0x60;
const ACK = 0x64;

const withInterrupts = (): {
  c: Client;
  dev: string;
  irq: (flags: number, index: number, start: number, count: number, data?: number[]) => string | undefined;
} => {
  const { c, dev } = boundBench(EDU);
  c.pwrite(dev, CONFIG + 4, '0600');
  return { c, dev, irq: (flags, index, start, count, data) => c.setIrqs(dev, flags, index, start, count, data) };
};

describe('the header is judged first (trace b052)', () => {
  const { irq, c, dev } = withInterrupts();
  test.each<[string, string, () => string | undefined]>([
    ['no such index', 'EINVAL', () => irq(TRIGGER_NONE, 5, 0, 0)],
    ['index 9', 'EINVAL', () => irq(TRIGGER_NONE, 9, 0, 0)],
    ['an index without vectors', 'EINVAL', () => irq(TRIGGER_NONE, MSIX, 0, 0)],
    ['ERR of a conventional function', 'EINVAL', () => irq(TRIGGER_NONE, ERR, 0, 0)],
    ['start at the end', 'EINVAL', () => irq(TRIGGER_NONE, INTX, 1, 0)],
    ['count over the end', 'EINVAL', () => irq(TRIGGER_NONE, INTX, 0, 2)],
    ['start of 2^32 - 1', 'EINVAL', () => irq(36, MSI, 0xffffffff, 1)],
    ['count of 2^31 - 1', 'EINVAL', () => irq(36, MSI, 0, 0x7fffffff)],
    ['an unknown flag', 'EINVAL', () => irq(65, INTX, 0, 0)],
    ['no data type', 'EINVAL', () => irq(32, INTX, 0, 0)],
    ['two data types', 'EINVAL', () => irq(35, INTX, 0, 1)],
    ['all flags', 'EINVAL', () => irq(63, INTX, 0, 0)],
    ['no flags', 'EINVAL', () => irq(0, INTX, 0, 0)],
    ['no action', 'ENOTTY', () => irq(1, INTX, 0, 0)],
    ['two actions', 'ENOTTY', () => irq(41, INTX, 0, 0)],
    ['data shorter than count', 'EINVAL', () => irq(36, MSI, 0, 1, [0, 0, 0])],
    ['argsz 19', 'EINVAL', () => c.ioctl(dev, uapi.VFIO_DEVICE_SET_IRQS, { flags: 33 }, { argsz: 19 }).errno],
    [
      'data that are not there',
      'EFAULT',
      () => c.ioctl(dev, uapi.VFIO_DEVICE_SET_IRQS, { flags: 36, index: MSI, count: 1 }, { argsz: 24 }).errno,
    ],
    [
      'data missing comes before a wrong action',
      'EFAULT',
      () => c.ioctl(dev, uapi.VFIO_DEVICE_SET_IRQS, { flags: 12, index: MSI, count: 1 }, { argsz: 24 }).errno,
    ],
  ])('%s: %s', (_rule, errno, ask) => {
    expect(ask()).toBe(errno);
    expect(c.h.core.figures()).toMatchObject({ heldEventfds: 0 });
  });
});

describe('INTx (trace b050, in its order)', () => {
  const { c, dev, irq } = withInterrupts();
  const got = (): number => c.h.world.take('e10');

  test('what needs INTx is EINVAL while it is off', () => {
    const before = [
      irq(TRIGGER_NONE, INTX, 0, 0),
      irq(UNMASK_NONE, INTX, 0, 1),
      irq(MASK_NONE, INTX, 0, 1),
      irq(12, INTX, 0, 1, [0, 0, 0, 0]),
      irq(TRIGGER_NONE, INTX, 0, 1),
    ];
    expect(before).toEqual(Array(5).fill('EINVAL'));
  });
  test('an interrupt signals once and masks', () => {
    expect(c.setEventfds(dev, INTX, 0, [10])).toBeUndefined();
    c.poke(dev, RAISE, 1n);
    c.poke(dev, RAISE, 1n);
    expect(got()).toBe(1);
    expect(c.pread(dev, 0x24, 4)).toBe('01000000');
    expect(c.pread(dev, CONFIG + 4, 4)).toBe('06001800');
  });
  test('unmasking a quiet line signals nothing', () => {
    c.poke(dev, ACK, 1n);
    expect(irq(UNMASK_NONE, INTX, 0, 1)).toBeUndefined();
    expect(got()).toBe(0);
  });
  test('unmasking an asserted line signals at once and stays masked', () => {
    c.poke(dev, RAISE, 1n);
    expect(got()).toBe(1);
    expect(irq(UNMASK_NONE, INTX, 0, 1)).toBeUndefined();
    expect(got()).toBe(1);
    c.poke(dev, ACK, 1n);
    irq(UNMASK_NONE, INTX, 0, 1);
    expect(got()).toBe(0);
  });
  test('while masked nothing is signalled until it is unmasked', () => {
    expect(irq(MASK_NONE, INTX, 0, 1)).toBeUndefined();
    c.poke(dev, RAISE, 1n);
    expect(got()).toBe(0);
    irq(UNMASK_NONE, INTX, 0, 1);
    expect(got()).toBe(1);
    c.poke(dev, ACK, 1n);
    irq(UNMASK_NONE, INTX, 0, 1);
  });
  test('a bool of 0 does nothing, of 1 it does', () => {
    irq(10, INTX, 0, 1, [0]);
    irq(TRIGGER_BOOL, INTX, 0, 1, [0]);
    expect(got()).toBe(0);
    irq(TRIGGER_BOOL, INTX, 0, 1, [1]);
    irq(TRIGGER_NONE, INTX, 0, 1);
    expect(got()).toBe(2);
  });
  test('masking by eventfd is ENOTTY', () => {
    expect(c.setEventfds(dev, INTX, 0, [11], 12)).toBe('ENOTTY');
  });
  test('an eventfd unmasks when it is written to, one at a time', () => {
    expect(c.setEventfds(dev, INTX, 0, [11], UNMASK_EVENTFD)).toBeUndefined();
    expect(c.setEventfds(dev, INTX, 0, [12], UNMASK_EVENTFD)).toBe('EBUSY');
    c.poke(dev, RAISE, 1n);
    expect(got()).toBe(1);
    c.h.ask(deviceApi.eventfdFired, { event: c.h.world.eventOf('e11') });
    expect(got()).toBe(1);
    c.poke(dev, ACK, 1n);
    c.h.ask(deviceApi.eventfdFired, { event: c.h.world.eventOf('e11') });
    c.poke(dev, RAISE, 1n);
    expect(got()).toBe(1);
    c.poke(dev, ACK, 1n);
    irq(UNMASK_NONE, INTX, 0, 1);
    expect(c.setEventfds(dev, INTX, 0, [-1], UNMASK_EVENTFD)).toBeUndefined();
    expect(c.h.core.figures()).toMatchObject({ heldEventfds: 1 });
  });
  test('an eventfd that can be read already unmasks at once', () => {
    irq(MASK_NONE, INTX, 0, 1);
    c.poke(dev, RAISE, 1n);
    expect(got()).toBe(0);
    c.h.world.counters.set('e12', 1);
    expect(c.setEventfds(dev, INTX, 0, [12], UNMASK_EVENTFD)).toBeUndefined();
    expect(got()).toBe(1);
    expect(c.setEventfds(dev, INTX, 0, [-1], UNMASK_EVENTFD)).toBeUndefined();
    c.poke(dev, ACK, 1n);
    irq(UNMASK_NONE, INTX, 0, 1);
  });
  test('INTx disable in the command register masks and mutes; enabling unmasks', () => {
    c.pwrite(dev, CONFIG + 4, '0604');
    c.poke(dev, RAISE, 1n);
    irq(TRIGGER_NONE, INTX, 0, 1);
    irq(UNMASK_NONE, INTX, 0, 1);
    expect(got()).toBe(0);
    c.pwrite(dev, CONFIG + 5, '00');
    expect(got()).toBe(1);
    c.poke(dev, ACK, 1n);
  });
  test('the eventfd may be swapped, and -1 leaves INTx on without one', () => {
    expect(c.setEventfds(dev, INTX, 0, [11])).toBeUndefined();
    irq(TRIGGER_NONE, INTX, 0, 1);
    expect([got(), c.h.world.take('e11')]).toEqual([0, 1]);
    expect(c.setEventfds(dev, INTX, 0, [-1])).toBeUndefined();
    expect(c.h.world.holds.size).toBe(0);
    expect(irq(TRIGGER_NONE, INTX, 0, 1)).toBeUndefined();
  });
  test('another kind is EINVAL meanwhile (I41)', () => {
    expect(c.setEventfds(dev, MSI, 0, [10])).toBe('EINVAL');
  });
  test('disabling twice is EINVAL', () => {
    expect([irq(TRIGGER_NONE, INTX, 0, 0), irq(TRIGGER_NONE, INTX, 0, 0)]).toEqual([undefined, 'EINVAL']);
  });
  test('enabling with the line asserted signals at once', () => {
    c.poke(dev, RAISE, 1n);
    expect(c.setEventfds(dev, INTX, 0, [10])).toBeUndefined();
    expect(got()).toBe(1);
  });
});

describe('MSI (trace b051, in its order)', () => {
  const { c, dev, irq } = withInterrupts();
  const got = (): number => c.h.world.take('e10');

  test('count 0 with eventfds is ERANGE, with bools EINVAL (trace b052)', () => {
    expect([irq(36, MSI, 0, 0), irq(TRIGGER_BOOL, MSI, 0, 0)]).toEqual(['ERANGE', 'EINVAL']);
  });
  test('loopback before enabling is EINVAL', () => {
    expect([irq(TRIGGER_NONE, MSI, 0, 1), irq(TRIGGER_NONE, MSI, 0, 0)]).toEqual(['EINVAL', 'EINVAL']);
  });
  test('the device signals, and loopback does', () => {
    expect(c.setEventfds(dev, MSI, 0, [10])).toBeUndefined();
    c.poke(dev, RAISE, 1n);
    expect(got()).toBe(1);
    c.poke(dev, ACK, 1n);
    irq(TRIGGER_NONE, MSI, 0, 1);
    irq(TRIGGER_BOOL, MSI, 0, 1, [1]);
    irq(TRIGGER_BOOL, MSI, 0, 1, [0]);
    expect(got()).toBe(2);
  });
  test('INTx is EINVAL meanwhile', () => {
    expect(c.setEventfds(dev, INTX, 0, [11])).toBe('EINVAL');
  });
  test('without bus master a message goes nowhere; loopback does not need it', () => {
    c.pwrite(dev, CONFIG + 4, '0200');
    c.poke(dev, RAISE, 1n);
    expect(got()).toBe(0);
    irq(TRIGGER_NONE, MSI, 0, 1);
    expect(got()).toBe(1);
    c.pwrite(dev, CONFIG + 4, '0600');
  });
  test('a vector without trigger is skipped', () => {
    expect(c.setEventfds(dev, MSI, 0, [-1])).toBeUndefined();
    irq(TRIGGER_NONE, MSI, 0, 1);
    c.poke(dev, RAISE, 1n);
    expect([got(), c.h.world.holds.size]).toEqual([0, 0]);
  });
  test('-2 is as -1 (trace b052)', () => {
    expect(c.setEventfds(dev, MSI, 0, [-2])).toBeUndefined();
  });
  test('there is no masking', () => {
    expect([irq(MASK_NONE, MSI, 0, 1), irq(UNMASK_NONE, MSI, 0, 1), c.setEventfds(dev, MSI, 0, [10], 12)]).toEqual(
      Array(3).fill('ENOTTY'),
    );
  });
  test('disabling, and then again', () => {
    expect([irq(TRIGGER_NONE, MSI, 0, 0), irq(TRIGGER_NONE, MSI, 0, 0)]).toEqual([undefined, 'EINVAL']);
  });
  test('a number without a file is EBADF, another file EINVAL; the index is off again', () => {
    const set = (fds: ReturnType<typeof eventFd>[]): string | undefined =>
      c.ioctl(
        dev,
        uapi.VFIO_DEVICE_SET_IRQS,
        { flags: 36, index: MSI, count: 1 },
        { tail: Uint8Array.of(99, 0, 0, 0), fds },
      ).errno;
    expect([set([]), set([{ fd: 99, token: 'x', owner: 'iommufd' }]), set([eventFd(99, 'no-event')])]).toEqual([
      'EBADF',
      'EINVAL',
      'EINVAL',
    ]);
    expect(c.setEventfds(dev, INTX, 0, [10])).toBeUndefined();
    expect(c.h.core.check()).toEqual([]);
  });
});

describe('MSI-X (trace b053, in its order)', () => {
  const { c, dev } = boundBench(E1000E);
  const irq = (flags: number, start: number, count: number, data?: number[]): string | undefined =>
    c.setIrqs(dev, flags, MSIX, start, count, data);
  const got = (): number[] => [10, 11, 12, 13, 14].map((i) => c.h.world.take(`e${i}`));

  test('more vectors than there are is EINVAL', () => {
    expect(c.setEventfds(dev, MSIX, 0, [10, 11, 12, 13, 14, 10])).toBe('EINVAL');
  });
  test('the control register shows that it is on', () => {
    expect(c.setEventfds(dev, MSIX, 0, [10, 11])).toBeUndefined();
    expect(c.pread(dev, CONFIG + 0xa0, 4)).toBe('11000480');
    expect(c.setEventfds(dev, MSI, 0, [10])).toBe('EINVAL');
  });
  test('it grows while it is on', () => {
    expect(c.setEventfds(dev, MSIX, 2, [12])).toBeUndefined();
    expect(c.setEventfds(dev, MSIX, 0, [10, -1, 12, 13, 14])).toBeUndefined();
    expect(irq(TRIGGER_NONE, 0, 5)).toBeUndefined();
    expect(got()).toEqual([1, 0, 1, 1, 1]);
    irq(TRIGGER_BOOL, 0, 5, [0, 1, 1, 0, 1]);
    expect(got()).toEqual([0, 0, 1, 0, 1]);
    expect(c.h.world.holds.size).toBe(4);
  });
  test('a vector that fails takes those before it of the call away, and its own', () => {
    const tail = new Uint8Array(Int32Array.of(15, 99, 12).buffer);
    const fds = [eventFd(15, 'e15'), eventFd(12, 'e12')];
    expect(
      c.ioctl(dev, uapi.VFIO_DEVICE_SET_IRQS, { flags: 36, index: MSIX, start: 0, count: 3 }, { tail, fds }).errno,
    ).toBe('EBADF');
    irq(TRIGGER_NONE, 0, 5);
    expect([got(), c.h.world.take('e15')]).toEqual([[0, 0, 1, 1, 1], 0]);
    expect(c.h.core.check()).toEqual([]);
  });
  test('off, and sparse on again', () => {
    expect(irq(TRIGGER_NONE, 0, 0)).toBeUndefined();
    expect(c.pread(dev, CONFIG + 0xa0, 4)).toBe('11000400');
    expect(c.h.world.holds.size).toBe(0);
    expect(c.setEventfds(dev, MSIX, 4, [14])).toBeUndefined();
    expect(c.pread(dev, CONFIG + 0xa0, 4)).toBe('11000480');
  });
  test('a reset keeps eventfds and command (trace b060)', () => {
    c.pwrite(dev, CONFIG + 4, '0700');
    c.pwrite(dev, 4, '01000000');
    expect(c.plain(dev, uapi.VFIO_DEVICE_RESET.nr)).toBe(0);
    expect([c.pread(dev, CONFIG + 4, 2), c.pread(dev, CONFIG + 0xa2, 2), c.pread(dev, 4, 4)]).toEqual([
      '0700',
      '0480',
      '00000000',
    ]);
    irq(TRIGGER_NONE, 4, 1);
    expect(got()).toEqual([0, 0, 0, 0, 1]);
  });
});

describe('ERR and REQ', () => {
  const { c, dev } = boundBench(E1000E);
  test.each([ERR, REQ])('index %i: one eventfd, beside any other kind', (index) => {
    const irq = (flags: number, count: number, data?: number[]): string | undefined =>
      c.setIrqs(dev, flags, index, 0, count, data);
    expect([irq(TRIGGER_NONE, 1), irq(TRIGGER_NONE, 0), irq(36, 0), irq(TRIGGER_BOOL, 0)]).toEqual(
      Array(4).fill('EINVAL'),
    );
    expect([irq(MASK_NONE, 1), irq(UNMASK_NONE, 1)]).toEqual(['ENOTTY', 'ENOTTY']);
    expect(irq(TRIGGER_BOOL, 1, [1])).toBeUndefined();
    expect(c.setEventfds(dev, index, 0, [10])).toBeUndefined();
    irq(TRIGGER_NONE, 1);
    irq(TRIGGER_BOOL, 1, [1]);
    irq(TRIGGER_BOOL, 1, [0]);
    expect(c.h.world.take('e10')).toBe(2);
    expect(c.setEventfds(dev, index, 0, [-2])).toBeUndefined();
    expect(c.h.world.holds.size).toBe(1);
    expect(c.setEventfds(dev, index, 0, [-1])).toBeUndefined();
    expect(c.h.world.holds.size).toBe(0);
    c.setEventfds(dev, index, 0, [11]);
    expect(irq(TRIGGER_NONE, 0)).toBeUndefined();
    expect(c.h.world.holds.size).toBe(0);
  });
});

test('an eventfd is given back only when no signal for it is under way', () => {
  const { c, dev } = withInterrupts();
  c.setEventfds(dev, MSI, 0, [10]);
  c.h.hold(pagesApi.eventfdSignal);
  const raising = c.poke(dev, RAISE, 1n);
  const disabling = c.startIoctl(dev, uapi.VFIO_DEVICE_SET_IRQS, { flags: TRIGGER_NONE, index: MSI });
  expect(c.h.calls).not.toContain('pages.eventfdDrop');
  c.h.release(pagesApi.eventfdSignal);
  expect([raising.done, disabling().errno, c.h.world.take('e10')]).toEqual([true, undefined, 1]);
});

test('however many interrupts a client causes, one signal is under way', () => {
  const { c, dev } = withInterrupts();
  c.setEventfds(dev, MSI, 0, [10]);
  c.h.hold(pagesApi.eventfdSignal);
  c.h.calls.length = 0;
  const raising = Array.from({ length: 5000 }, () => c.poke(dev, RAISE, 1n));
  expect(c.h.calls).toEqual(['pages.eventfdSignal']);
  c.h.release(pagesApi.eventfdSignal);
  expect(raising.every((r) => r.done)).toBe(true);
  expect(c.h.world.take('e10')).toBe(5000);
});

test('a reset deasserts the line and leaves INTx on', () => {
  const { c, dev } = boundBench(E1000E);
  c.setEventfds(dev, INTX, 0, [10]);
  c.poke(dev, RAISE, 1n);
  expect([c.pread(dev, CONFIG + 6, 1), c.h.world.take('e10')]).toEqual(['18', 1]);
  c.plain(dev, uapi.VFIO_DEVICE_RESET.nr);
  expect(c.pread(dev, CONFIG + 6, 1)).toBe('10');
  c.setIrqs(dev, UNMASK_NONE, INTX, 0, 1);
  expect(c.h.world.take('e10')).toBe(0);
  c.poke(dev, RAISE, 1n);
  expect(c.h.world.take('e10')).toBe(1);
});
