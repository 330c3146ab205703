/**
 * pread and pwrite on a serial card: words of 4, 2 or 1 bytes, as their place allows. [samples/vfio-mdev/mtty.c]
 *
 * Rule: a word at a register reaches that one register with its first byte; the rest reads 0. There is config space and there are
 * BARs; other regions are EFAULT. The kernel looks at the low 16 bits of a register's offset only.
 */
import { lockWrite, MAX_DMA, type Op, unlock } from '@vfiolab/core';
import { fail, ok, type Result, VFIO_PCI_BAR5_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX } from '@vfiolab/uapi';
import { placeOf, type RegionPlace } from '../regions.js';
import type { SerialCard } from './serial-card.js';

const wordAt = (at: number, left: number): number =>
  left >= 4 && at % 4 === 0 ? 4 : left >= 2 && at % 2 === 0 ? 2 : 1;

const exists = ({ index }: RegionPlace): boolean =>
  index <= VFIO_PCI_BAR5_REGION_INDEX || index === VFIO_PCI_CONFIG_REGION_INDEX;

/** At most MAX_DMA bytes of what was asked for. EFAULT. */
export function* readCard(card: SerialCard, from: number, length: number): Op<Result<Uint8Array>> {
  const out = new Uint8Array(Math.min(length, MAX_DMA));
  yield* lockWrite(card.memory);
  for (let done = 0; done < out.length;) {
    const place = placeOf(from + done);
    if (!exists(place)) return fail('EFAULT');
    const word = wordAt(from + done, out.length - done);
    if (place.index === VFIO_PCI_CONFIG_REGION_INDEX) out.set(card.config.read(place.offset, word), done);
    else {
      const { value, fires } = card.ports[place.index]?.read(place.offset & 0xffff) ?? { value: 0, fires: 0 };
      out[done] = value;
      yield* card.fire(fires);
    }
    done += word;
  }
  yield* unlock(card.memory);
  return ok(out);
}

/** What was written before an EFAULT stays. */
export function* writeCard(card: SerialCard, from: number, data: Uint8Array): Op<Result<number>> {
  const bytes = data.subarray(0, MAX_DMA);
  yield* lockWrite(card.memory);
  for (let done = 0; done < bytes.length;) {
    const place = placeOf(from + done);
    if (!exists(place)) return fail('EFAULT');
    const word = bytes.subarray(done, done + wordAt(from + done, bytes.length - done));
    const at = place.offset & 0xffff;
    if (place.index === VFIO_PCI_CONFIG_REGION_INDEX) card.config.write(at, word);
    else yield* card.fire(card.ports[place.index]?.write(at, word[0]!) ?? 0);
    done += word.length;
  }
  yield* unlock(card.memory);
  return ok(bytes.length);
}
