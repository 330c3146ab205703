/** What is in a fault queue as bytes. Devices and HWPTs are there already when it is read back. */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import type { BoundDevice, Context } from './context.js';
import type { FaultGroup, FaultQueue } from './fault-queue.js';
import type { Hwpt } from './nested-hwpt.js';

export function encodeFaults(w: ByteWriter, { waiting, delivered }: FaultQueue): void {
  w.list(waiting, (group) => encodeGroup(w, group));
  const rows = [...delivered].sort(([a], [b]) => a - b);
  w.list(rows, ([cookie, group]) => {
    w.u32(cookie);
    encodeGroup(w, group);
  });
}

function encodeGroup(w: ByteWriter, { pasid, device, hwpt, requests, request }: FaultGroup): void {
  w.u32(pasid);
  w.num(request);
  w.u32(device.id);
  w.u32(hwpt.id);
  w.list(requests, ({ flags, pasid, grpid, perm, addr }) => {
    w.u32(flags);
    w.u32(pasid);
    w.u32(grpid);
    w.u32(perm);
    w.u64(addr);
  });
}

export function decodeFaults(r: ByteReader, queue: FaultQueue, c: Context): void {
  queue.waiting = r.list(() => decodeGroup(r, c));
  r.list(() => queue.delivered.set(r.u32(), decodeGroup(r, c)));
}

function decodeGroup(r: ByteReader, c: Context): FaultGroup {
  const [pasid, request] = [r.u32(), r.num()];
  const device = c.objects.get(r.u32()) as BoundDevice;
  const hwpt = c.objects.get(r.u32()) as Hwpt;
  const requests = r.list(() => ({ flags: r.u32(), pasid: r.u32(), grpid: r.u32(), perm: r.u32(), addr: r.u64() }));
  return { pasid, device, hwpt, requests, request };
}
