/** Accesses as bytes: what they pinned is named by areas, which are in their IOASes already. */
import type { ByteReader, ByteWriter } from '@vfiolab/core';
import { Access } from './access.js';
import type { Context } from './context.js';
import type { Ioas } from './ioas.js';

export function encodeAccess(w: ByteWriter, { pins, mdev, deaf, ioas, items, nextItem }: Access): void {
  w.bool(pins);
  w.str(mdev ?? '');
  w.bool(deaf);
  w.u32(ioas?.id ?? 0);
  w.u32(nextItem);
  w.list(items, ({ id, start, last, slices }) => {
    w.u32(id);
    w.u64(start);
    w.u64(last);
    w.list(slices, ({ area, first, count }) => {
      w.u64(area.start);
      w.num(first);
      w.num(count);
    });
  });
}

export function decodeAccess(r: ByteReader, c: Context): Access {
  const access = new Access(r.bool(), r.str() || undefined);
  access.deaf = r.bool();
  const ioas = c.objects.get(r.u32()) as Ioas | undefined;
  access.nextItem = r.u32();
  access.items = r.list(() => {
    const [id, start, last] = [r.u32(), r.u64(), r.u64()];
    const slices = r.list(() => {
      const area = ioas!.areas.from(r.u64())!;
      area.accesses++;
      return { area, first: r.num(), count: r.num() };
    });
    return { id, start, last, slices };
  });
  access.ioas = ioas;
  ioas?.accesses.push(access);
  return access;
}
