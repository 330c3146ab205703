/**
 * Memory of devices, as far as processes map it and pin it: frames without bytes.
 *
 * Words: a *window* is one region of one device; it has frames of its own behind all that are memory, from DEVICE_FRAMES on.
 * Rule: a window keeps its frames for good, so a device that comes back has them again; who reaches such a frame by DMA is
 * sent to the device.
 */
import { type ByteReader, type ByteWriter, DEVICE_FRAMES } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { OrderedMap } from './ordered-map.js';

export interface DeviceWindow {
  readonly bdf: string;
  readonly region: number;
  readonly pages: number;
  readonly frame: number;
  /** The device answers there: memory decoding is on. */
  on: boolean;
}

/** Windows of one host; one more is ENOMEM. */
export const MAX_WINDOWS = 4096;
const END = 2 * DEVICE_FRAMES;

export const isDeviceFrame = (frame: number): boolean => frame >= DEVICE_FRAMES;

export class DeviceWindows {
  private readonly byFrame = new OrderedMap<DeviceWindow>();
  private next = DEVICE_FRAMES;

  /** The window of a region, made when there is none. ENOMEM: there is no room for its frames. */
  of(bdf: string, region: number, pages: number): Result<DeviceWindow> {
    for (const { value } of this.byFrame.entries())
      if (value.bdf === bdf && value.region === region && value.pages === pages) return ok(value);
    if (this.byFrame.size >= MAX_WINDOWS || this.next + pages >= END) return fail('ENOMEM');
    const window = { bdf, region, pages, frame: this.next, on: false };
    this.put(window);
    return ok(window);
  }

  /** A frame is left free behind each, so that no DMA runs from one into the next. */
  private put(window: DeviceWindow): void {
    this.byFrame.set(window.frame, window);
    this.next = window.frame + window.pages + 1;
  }

  /** The window that has this frame. */
  at(frame: number): DeviceWindow | undefined {
    const window = this.byFrame.floor(frame)?.value;
    return window && frame < window.frame + window.pages ? window : undefined;
  }

  /** The device has switched memory decoding of all its regions. */
  switch(bdf: string, on: boolean): void {
    for (const { value } of this.byFrame.entries()) if (value.bdf === bdf) value.on = on;
  }

  encode(w: ByteWriter): void {
    w.list([...this.byFrame.entries()], ({ value: { bdf, region, pages, on } }) => {
      w.str(bdf);
      w.u32(region);
      w.num(pages);
      w.bool(on);
    });
  }

  decode(r: ByteReader): void {
    for (const [bdf, region, pages, on] of r.list(() => [r.str(), r.u32(), r.num(), r.bool()] as const)) {
      const window = { bdf, region, pages, frame: this.next, on };
      this.put(window);
    }
  }
}
