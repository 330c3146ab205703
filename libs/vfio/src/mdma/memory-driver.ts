/** The driver of memory cards: what it does with the calls on a card's files. No interrupts, no config space, no mmap. */
import { DONE, frontDoor, type IoctlResult, lockWrite, type Op, row } from '@vfiolab/core';
import * as uapi from '@vfiolab/uapi';
import { fail, ok, type Result, type StructOf } from '@vfiolab/uapi';
import { commonIoctls } from '../common-ioctls.js';
import type { DeviceCall, OpenDevice } from '../device-call.js';
import { deviceFeature } from '../ioctl/feature.js';
import { PlainDriver } from '../plain-driver.js';
import { placeOf, regionOffset } from '../regions.js';
import { BUFFER_BYTES, BUFFER_OFFSET, type MemoryCard, REGISTERS } from './memory-card.js';

const REGISTER_BYTES = 8;
const BAR_BYTES = BUFFER_OFFSET + BUFFER_BYTES;

type Call<S extends uapi.AnyStruct> = DeviceCall<S, MemoryCard>;

function getInfo(c: Call<typeof uapi.vfio_device_info>): IoctlResult {
  const told = c.respond({ flags: uapi.VFIO_DEVICE_FLAGS_PCI, num_regions: uapi.VFIO_PCI_NUM_REGIONS, num_irqs: 0 });
  return told.ok ? DONE : told;
}

/** Only the first region has a size. EINVAL: none of PCI's. */
function getRegionInfo(
  c: Call<typeof uapi.vfio_region_info>,
  { index }: StructOf<typeof uapi.vfio_region_info>,
): IoctlResult {
  if (index >= uapi.VFIO_PCI_NUM_REGIONS) return fail('EINVAL');
  const flags = index === 0 ? uapi.VFIO_REGION_INFO_FLAG_READ | uapi.VFIO_REGION_INFO_FLAG_WRITE : 0;
  const told = c.respond({ flags, size: index === 0 ? BigInt(BAR_BYTES) : 0n, offset: regionOffset(index) });
  return told.ok ? DONE : told;
}

const ROWS = frontDoor<OpenDevice<MemoryCard>>({
  ...commonIoctls,
  VFIO_DEVICE_GET_INFO: row(uapi.VFIO_DEVICE_GET_INFO, getInfo),
  VFIO_DEVICE_GET_REGION_INFO: row(uapi.VFIO_DEVICE_GET_REGION_INFO, getRegionInfo),
  VFIO_DEVICE_FEATURE: row(
    uapi.VFIO_DEVICE_FEATURE,
    deviceFeature<MemoryCard>(() => undefined),
  ),
});

/** Either one register as a whole, or bytes of the buffer. Undefined: neither. */
function targetOf(from: number, length: number): { register: number } | { at: number } | undefined {
  const { index, offset } = placeOf(from);
  if (index !== 0) return undefined;
  if (offset >= BUFFER_OFFSET) return offset + length <= BAR_BYTES ? { at: offset - BUFFER_OFFSET } : undefined;
  const whole = offset % REGISTER_BYTES === 0 && length === REGISTER_BYTES;
  return whole && offset / REGISTER_BYTES < REGISTERS ? { register: offset / REGISTER_BYTES } : undefined;
}

export class MemoryDriver extends PlainDriver<MemoryCard> {
  constructor(card: MemoryCard) {
    super(card, ROWS);
  }

  *reset(): Op<IoctlResult> {
    return fail('ENOTTY');
  }

  /** EFAULT: nothing is there. */
  *read(offset: number, length: number): Op<Result<Uint8Array>> {
    const { device } = this;
    const target = targetOf(offset, length);
    if (!target) return fail('EFAULT');
    yield* lockWrite(device.memory);
    if ('at' in target) return ok(device.buffer.slice(target.at, target.at + length));
    return ok(new Uint8Array(BigUint64Array.of(device.readRegister(target.register)).buffer));
  }

  /** EFAULT: nothing is there. What a command met is in a register. */
  *write(offset: number, data: Uint8Array, client: string): Op<Result<number>> {
    const { device } = this;
    const target = targetOf(offset, data.length);
    if (!target) return fail('EFAULT');
    yield* lockWrite(device.memory);
    if ('at' in target) device.buffer.set(data, target.at);
    else yield* device.writeRegister(target.register, new BigUint64Array(data.slice().buffer)[0]!, client);
    return ok(data.length);
  }
}
