/**
 * Event queues of a vIOMMU: what its hardware reports to the guest, behind a file that is only read (semantics C6.4).
 *
 * Words: a *record* is a header {u32 flags, u32 sequence} and the event's bytes.
 * Rule: every event takes a number, lost or not, so a reader sees gaps. A full queue keeps one header without bytes at its
 * end, with the number of the last event lost; the next event that finds room takes its place (SURPRISES 52).
 */
import { encode, fail, iommufd_vevent_header, ok, type Result } from '@vfiolab/uapi';
import { Lock, POLLIN } from '@vfiolab/core';
import type { IommufdObject } from './objects.js';
import type { Viommu } from './viommu.js';

const LOST_EVENTS = 1;
const LAST_SEQUENCE = 0x7fffffff;

export interface Vevent {
  readonly sequence: number;
  readonly data: Uint8Array;
}

/** Less than half of all numbers further. */
function isAfter(before: number, after: number): boolean {
  const range = LAST_SEQUENCE + 1;
  const ahead = (after - before + range) % range;
  return ahead > 0 && ahead < range / 2;
}

export class VeventQueue implements IommufdObject {
  readonly type = 'veventq';
  id = 0;
  /** The table's and the file's reference. */
  users = 2;
  fileOpen = true;
  readonly shortTerm = new Lock();
  events: Vevent[] = [];
  /** Number of the last event lost, while nothing came after it. */
  lost: number | undefined;
  next = 0;

  constructor(
    readonly viommu: Viommu,
    readonly kind: number,
    /** Events at most. */
    readonly depth: number,
  ) {}

  report(data: Uint8Array): void {
    const sequence = this.next;
    this.next = sequence === LAST_SEQUENCE ? 0 : sequence + 1;
    const room = this.events.length < this.depth;
    this.lost = room ? undefined : sequence;
    if (room) this.events.push({ sequence, data });
  }

  /** I51: numbers go up, modulo their range; what was lost came last. */
  check(): string[] {
    const numbers = [
      ...this.events.map(({ sequence }) => sequence),
      ...(this.lost === undefined ? [] : [this.lost]),
      this.next,
    ];
    const bad = numbers.findIndex((n, i) => i > 0 && !isAfter(numbers[i - 1]!, n));
    return bad < 0 ? [] : [`I51: vEVENTQ ${this.id} has number ${numbers[bad]} after ${numbers[bad - 1]}`];
  }

  private records(): Uint8Array[] {
    const records = this.events.map(({ sequence, data }) => record(0, sequence, data));
    return this.lost === undefined ? records : [...records, record(LOST_EVENTS, this.lost, new Uint8Array(0))];
  }

  /** Whole records. EAGAIN: none; EINVAL: the first one does not fit. */
  read(length: number): Result<Uint8Array> {
    const records = this.records();
    if (records.length === 0) return fail('EAGAIN');
    let size = 0;
    let taken = 0;
    while (taken < records.length && size + records[taken]!.length <= length) size += records[taken++]!.length;
    if (taken === 0) return fail('EINVAL');
    if (taken > this.events.length) this.lost = undefined;
    this.events = this.events.slice(taken);
    const out = new Uint8Array(size);
    let at = 0;
    for (const each of records.slice(0, taken)) {
      out.set(each, at);
      at += each.length;
    }
    return ok(out);
  }

  /** There is nothing to write. */
  write(): Result<number> {
    return fail('EINVAL');
  }

  poll(): number {
    return this.events.length > 0 || this.lost !== undefined ? POLLIN : 0;
  }
}

function record(flags: number, sequence: number, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(iommufd_vevent_header.size + data.length);
  encode(iommufd_vevent_header, { flags, sequence }, out);
  out.set(data, iommufd_vevent_header.size);
  return out;
}
