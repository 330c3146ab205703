import { type Errno, VFIO_DEVICE_SET_IRQS } from '@vfiolab/uapi';
import { type Device, Passthrough, PAGE, PLAIN } from './support/iommu-host.js';

const DOORBELL = 0x8000000n;
const MSI = 1;
const TRIGGER_BY_EVENTFD = 0x24;
const RAISE = 0x60;
const ACKNOWLEDGE = 0x64;

/** Signals that reached the program. */
class Interrupts {
  private constructor(
    readonly t: Passthrough,
    readonly device: Device,
    private readonly event: number,
  ) {}

  static async of(t: Passthrough, device: Device): Promise<Interrupts> {
    return new Interrupts(t, device, await t.must(t.p.eventfd()));
  }

  async enable(): Promise<Errno | undefined> {
    const { t, device, event } = this;
    const fields = { flags: TRIGGER_BY_EVENTFD, index: MSI, start: 0, count: 1 };
    const tail = new Uint8Array(Int32Array.of(event).buffer);
    return (await t.host.run(t.p.ioctl(device.fd, VFIO_DEVICE_SET_IRQS, fields, { tail }))).errno;
  }

  async disable(): Promise<void> {
    const { t, device } = this;
    await t.sure(VFIO_DEVICE_SET_IRQS, { flags: 0x21, index: MSI, start: 0, count: 0, argsz: 20 }, device.fd);
  }

  /** The device sends one message: does it arrive? */
  async arrives(): Promise<boolean> {
    const { t, device, event } = this;
    await t.must(t.p.pwrite(device.fd, RAISE, Uint8Array.of(1, 0, 0, 0)));
    await t.must(t.p.pwrite(device.fd, ACKNOWLEDGE, Uint8Array.of(1, 0, 0, 0)));
    return (await t.host.run(t.p.eventRead(event))).ok;
  }
}

async function boot(profile: string, iommu = 'arm-smmu-v3') {
  const t = await Passthrough.boot({ iommu, profile });
  const device = await t.device(PLAIN);
  return { t, device, ioas: await t.ioas(), irqs: await Interrupts.of(t, device) };
}

describe('107: messages of devices go through the IOMMU to a doorbell that the kernel maps', () => {
  it.each(['6.12', '7.2'])(
    '%s: the doorbell is the first page of the window in the HWPT of the device',
    async (profile) => {
      const { t, device, ioas, irqs } = await boot(profile);
      await t.attach(device, ioas);
      await t.dma(device, DOORBELL, 4, true);
      expect(await t.faults(device)).toMatchObject([{ iova: DOORBELL, reason: 'not mapped' }]);
      expect(await irqs.enable()).toBeUndefined();
      expect(await irqs.arrives()).toBe(true);
      await t.dma(device, DOORBELL, 4, true);
      expect((await t.faults(device)).length).toBe(1);
      await t.dma(device, DOORBELL + PAGE, 4, true);
      expect((await t.faults(device)).length).toBe(2);
      // Nobody can map anything there, or see it in what is mapped.
      expect(await t.map(ioas, DOORBELL, await t.memory(4096), PAGE)).toBe('EINVAL');
      await t.detach(device);
      expect(await irqs.arrives()).toBe(false);
      expect(t.broken()).toEqual([]);
    },
  );

  it('moving to another IOAS: 6.12 loses the messages until vectors are allocated anew, 7.2 keeps them (c005)', async () => {
    for (const [profile, kept] of [
      ['6.12', false],
      ['7.2', true],
    ] as const) {
      const { t, device, ioas, irqs } = await boot(profile);
      await t.attach(device, ioas);
      await irqs.enable();
      expect(await t.attach(device, await t.ioas())).toBeUndefined();
      expect([profile, await irqs.arrives()]).toEqual([profile, kept]);
      await irqs.disable();
      await irqs.enable();
      expect(await irqs.arrives()).toBe(true);
    }
  });

  it('vectors without an attachment: 6.12 allocates them and loses messages, 7.2 is ENOSPC from then on (c004)', async () => {
    const old = await boot('6.12');
    expect(await old.irqs.enable()).toBeUndefined();
    await old.t.attach(old.device, old.ioas);
    expect(await old.irqs.arrives()).toBe(false);
    const { t, device, ioas, irqs } = await boot('7.2');
    expect(await irqs.enable()).toBe('ENOSPC');
    await t.attach(device, ioas);
    expect(await irqs.enable()).toBe('ENOSPC');
  });

  it('7.2: every HWPT that the group comes to has it, a nest parent too', async () => {
    const { t, device, ioas, irqs } = await boot('7.2', 'arm-smmu-v3-nested');
    await t.attach(device, ioas);
    await irqs.enable();
    for (const flags of [0, 1, 8]) {
      await t.attach(device, await t.hwpt(device, ioas, { flags }));
      expect([flags, await irqs.arrives()]).toEqual([flags, true]);
    }
  });

  it('on x86 messages do not go through page tables', async () => {
    const { t, device, irqs } = await boot('7.2', 'intel-vtd');
    expect(await irqs.enable()).toBeUndefined();
    expect(await irqs.arrives()).toBe(true);
    await t.dma(device, DOORBELL, 4, true);
    expect(await t.faults(device)).toMatchObject([{ reason: 'blocking' }]);
  });
});
