/** vIOMMUs and what stands on them as bytes. What they refer to is there already when they are read back. */
import type { ByteReader, ByteWriter, View } from '@vfiolab/core';
import type { Access } from './access.js';
import type { BoundDevice, Context } from './context.js';
import { HwQueue, lockAreas } from './hw-queue.js';
import type { PagingHwpt } from './hwpt.js';
import { linkVdevice, Vdevice, Viommu } from './viommu.js';
import { VeventQueue } from './vevent-queue.js';
import { Window } from './window.js';

const byIndex = ([a]: [number, number], [b]: [number, number]): number => a - b;

export function encodeViommu(w: ByteWriter, { hwpt, unit, kind, window, slots }: Viommu): void {
  w.u32(hwpt.id);
  w.u32(unit);
  w.u32(kind);
  w.list([...slots].sort(byIndex), ([index, queue]) => (w.u32(index), w.u32(queue)));
  w.bool(window !== undefined);
  if (!window) return;
  w.num(window.start);
  w.bytes(window.bytes);
  w.u32(window.mappings);
}

export function decodeViommu(r: ByteReader, c: Context): Viommu {
  const viommu = new Viommu(c.objects.get(r.u32()) as PagingHwpt, r.u32(), r.u32());
  r.list(() => viommu.slots.set(r.u32(), r.u32()));
  if (r.bool()) viommu.window = decodeWindow(r);
  return viommu;
}

function decodeWindow(r: ByteReader): Window {
  const [start, bytes] = [r.num(), r.bytes()];
  const window = new Window(start, bytes.length);
  window.bytes.set(bytes);
  window.mappings = r.u32();
  return window;
}

export function encodeVdevice(w: ByteWriter, { viommu, device, virtId }: Vdevice): void {
  w.u32(viommu.id);
  w.u32(device.id);
  w.u64(virtId);
}

export function decodeVdevice(r: ByteReader, c: Context): Vdevice {
  const [viommu, device] = [c.objects.get(r.u32()) as Viommu, c.objects.get(r.u32()) as BoundDevice];
  const vdevice = new Vdevice(viommu, device, r.u64());
  linkVdevice(vdevice);
  return vdevice;
}

export function encodeVeventQueue(w: ByteWriter, queue: VeventQueue): void {
  w.u32(queue.viommu.id);
  w.u32(queue.kind);
  w.u32(queue.depth);
  w.bool(queue.fileOpen);
  w.u32(queue.next);
  w.bool(queue.lost !== undefined);
  w.u32(queue.lost ?? 0);
  w.list(queue.events, ({ sequence, data }) => {
    w.u32(sequence);
    w.bytes(data);
  });
}

export function decodeVeventQueue(r: ByteReader, c: Context): VeventQueue {
  const viommu = c.objects.get(r.u32()) as Viommu;
  const queue = new VeventQueue(viommu, r.u32(), r.u32());
  queue.fileOpen = r.bool();
  queue.next = r.u32();
  const [isLost, lost] = [r.bool(), r.u32()];
  queue.lost = isLost ? lost : undefined;
  queue.events = r.list(() => ({ sequence: r.u32(), data: r.bytes().slice() }));
  viommu.queues.set(queue.kind, queue);
  return queue;
}

/** Where its memory lies nobody can tell. */
export function encodeHwQueue(w: ByteWriter, { viommu, index, access, before, memory }: HwQueue, view: View): void {
  w.u32(viommu.id);
  w.u32(index);
  w.u32(access.id);
  w.num(memory.length);
  if (view === 'snapshot') w.num(memory.base);
  w.u32(before);
}

export function decodeHwQueue(r: ByteReader, c: Context): HwQueue {
  const viommu = c.objects.get(r.u32()) as Viommu;
  const [index, access, length] = [r.u32(), c.objects.get(r.u32()) as Access, r.num()];
  const queue = new HwQueue(viommu, index, access);
  queue.memory = { length, base: r.num() };
  queue.before = r.u32();
  lockAreas(queue);
  return queue;
}
