/**
 * What users do with tables beyond mapping: nested tables and their caches, dirty bits, PASIDs, and the self-test's devices.
 *
 * Rule: everything here works on the tables that DMA goes through; what a driver alone knows is in its own file.
 */
import {
  type ArgsOf,
  BLOCKING,
  type HardwareInfo,
  type iommuApi,
  MAX_DIRTY,
  MAX_RUNS,
  type Op,
  type ReplyOf,
  type Run,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { markDirtyBits, readDirty, readDirtyPages } from './dirty.js';
import type { Domain, Domains } from './domain.js';
import { NO_INFO } from './formats.js';
import { knownMockFlags, MOCK_AMD_TABLES, mockInfo, movePasid } from './mock.js';
import { invalidate, invalidateDevices, nestedOf } from './nested.js';
import type { Unit } from './unit.js';

type Args<M extends keyof typeof iommuApi> = ArgsOf<(typeof iommuApi)[M]>;

export class UserTables {
  constructor(
    private readonly unit: Unit,
    private readonly domains: Domains,
  ) {}

  /** EOPNOTSUPP: the driver has no such data. EINVAL: parent, length. EFAULT. ENOSPC. */
  nestedAlloc({ bdf, parent: parentId, data, known }: Args<'nestedAlloc'>): Result<{ domain: number }> {
    const format = this.unit.formatOf(bdf);
    const parent = this.domains.get(parentId);
    if (!format || this.unit.functions.get(bdf)?.mock === undefined) return fail('EOPNOTSUPP');
    const nested = nestedOf(data, parent?.nested ? undefined : parent?.id, known);
    if (!nested.ok) return nested;
    const domain = this.domains.make(format.domainIds, { format, flags: 0, nested: nested.value });
    return domain ? ok({ domain: domain.id }) : fail('ENOSPC');
  }

  invalidate({ domain: id, ...array }: Args<'invalidate'>): ReplyOf<typeof iommuApi.invalidate> {
    const nested = this.domains.get(id)?.nested;
    if (!nested) return { done: 0, outcome: fail('EINVAL') };
    const { done, errno } = invalidate(nested, array);
    return { done, outcome: errno ? fail(errno) : ok(undefined) };
  }

  hardwareInfo(bdf: string): HardwareInfo {
    const mock = this.unit.functions.get(bdf)?.mock;
    if (mock) return mockInfo(mock.flags);
    return { ...(this.unit.format?.info ?? NO_INFO), capabilities: 0n, maxPasidLog2: 0 };
  }

  /** A PASID of the device to a domain, or to BLOCKING. EINVAL: no such PASID or domain; ENOMEM: the mock's made-up failure. */
  pasidAttach({ bdf, pasid, domain: to }: Args<'pasidAttach'>): Result<void> | Op<Result<void>> {
    const mock = this.unit.functions.get(bdf)?.mock;
    const next = this.domains.get(to);
    if (!mock || pasid >= mock.pasidEnd || (to !== BLOCKING && !next)) return fail('EINVAL');
    const old = mock.pasids.get(pasid) ?? BLOCKING;
    const moved = movePasid(mock, pasid, to);
    if (!moved.ok) return moved;
    const from = this.domains.get(old);
    if (from) from.attached--;
    if (next) next.attached++;
    return landed(from);
  }

  invalidateDevices({ devices, ...array }: Args<'invalidateDevices'>): ReplyOf<typeof iommuApi.invalidate> {
    const caches = new Map(devices.map(({ virtId, bdf }) => [virtId, this.unit.functions.get(bdf)?.mock?.cache ?? []]));
    const { done, errno } = invalidateDevices(caches, array);
    return { done, outcome: errno ? fail(errno) : ok(undefined) };
  }

  /** EINVAL: unknown flags, or a real IOMMU is active (SURPRISES 49). */
  mockAdd(flags: number, amdTables: boolean): Result<{ bdf: string; group: number }> {
    const made = knownMockFlags(flags) ? this.unit.addMock(flags | (amdTables ? MOCK_AMD_TABLES : 0)) : undefined;
    return made ? ok({ bdf: made.bdf, group: made.group.id }) : fail('EINVAL');
  }

  lookup({ domain, iova, count }: Args<'lookup'>): Run[] {
    const table = this.domains.get(domain)?.table;
    const runs: { frame: number; count: number }[] = [];
    for (let i = 0; table && i < count && runs.length < MAX_RUNS; i++) {
      const frame = table.lookup(iova + i);
      if (frame < 0) break;
      const last = runs[runs.length - 1];
      if (last && last.frame + last.count === frame) last.count++;
      else runs.push({ frame, count: 1 });
    }
    return runs;
  }

  /** Starting is a clean slate, also when it had been started (semantics C5.2). EOPNOTSUPP: made without dirty tracking. */
  dirtyTracking(id: number, enable: boolean): Result<void> {
    const domain = this.domains.get(id);
    if (!domain?.tracksDirty) return fail('EOPNOTSUPP');
    if (enable) domain.table.clearAllDirty();
    domain.tracking = enable;
    return ok(undefined);
  }

  dirtyRead({ domain: id, iova, count, clear }: Args<'dirtyRead'>): Uint8Array | Op<Uint8Array> {
    const domain = this.domains.get(id);
    if (!domain || count > MAX_DIRTY) return new Uint8Array(0);
    if (!domain.tracking) return new Uint8Array(Math.ceil(count / 8));
    const read = domain.format.joinsHalves ? readDirtyPages : readDirty;
    const bitmap = read(domain.table, iova, count, clear);
    return clear ? flushed(domain, bitmap) : bitmap;
  }

  /** EINVAL: no such domain, or it does not track. */
  dirtyMark({ domain: id, first, bitmap }: Args<'dirtyMark'>): Result<number> {
    const domain = this.domains.get(id);
    return domain?.tracking ? ok(markDirtyBits(domain.table, first, bitmap)) : fail('EINVAL');
  }
}

function* flushed(domain: Domain, bitmap: Uint8Array): Op<Uint8Array> {
  yield* domain.inFlight.flush();
  return bitmap;
}

/** Answers when what was translated through the domain before has landed. */
export function* landed(domain: Domain | undefined): Op<Result<void>> {
  if (domain) yield* domain.inFlight.flush();
  return ok(undefined);
}
