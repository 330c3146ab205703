/** VFIO_IOMMU_SPAPR_REGISTER_MEMORY (v2): pins and charges memory, which may then be mapped. */
import {
  call as ask,
  type IoctlCall,
  type IoctlResult,
  type Op,
  PAGES,
  pagesApi,
  RLIMIT_UNCHARGED,
  type Run,
} from '@vfiolab/core';
import { fail, ok, type Result, type StructOf, type vfio_iommu_spapr_register_memory } from '@vfiolab/uapi';
import { charge, forget, framesPerPage, uncharge } from '../memory.js';
import type { Spapr } from '../spapr.js';

type Range = StructOf<typeof vfio_iommu_spapr_register_memory>;

const TWO64 = 1n << 64n;
const FRAME_SHIFT = 12n;
/** Bytes of what the kernel keeps for a page. */
const BOOKKEEPING = 8n;
/** Pages that the kernel pins at a time: it keeps their pointers in one allocation of 16 MiB. */
const CHUNK = BigInt((16 * 1024 * 1024) / 8);

/**
 * EPERM: another process; EINVAL: argsz, flags, not in pages, it wraps, it overlaps another; EBUSY: registered in this
 * container; ENOMEM: RLIMIT_MEMLOCK, or nothing, or more than memory can keep account of; EFAULT: the first page cannot be
 * pinned; a number: so many pages could (SURPRISES 60).
 */
export function* registerMemory(
  call: IoctlCall<Spapr, typeof vfio_iommu_spapr_register_memory>,
  { flags, vaddr, size }: Range,
): Op<IoctlResult> {
  const { file: spapr } = call;
  const { registrations, pageShift } = spapr.host;
  if (flags !== 0) return fail('EINVAL');
  const mask = (1n << BigInt(pageShift)) - 1n;
  if (((vaddr | size) & mask) !== 0n || vaddr + size >= TWO64) return fail('EINVAL');
  const known = registrations.exact(spapr.owner!, vaddr, size);
  if (known && spapr.registered.includes(known.id)) return fail('EBUSY');
  if (known) {
    known.used++;
    spapr.registered.push(known.id);
  } else {
    const made = yield* register(spapr, vaddr, size);
    if (!made.ok || made.value > 0) return made;
  }
  spapr.enabled = true;
  return ok(0);
}

/** A new registration: 0, or how many pages could be pinned when not all could. */
function* register(spapr: Spapr, va: bigint, bytes: bigint): Op<IoctlResult> {
  const { host } = spapr;
  const charged = yield* charge(spapr, bytes);
  if (!charged.ok) return charged;
  const made = yield* pinAll(spapr, va, bytes);
  if (!made.ok || typeof made.value === 'number') {
    yield* uncharge(spapr, charged.value);
    return made as IoctlResult;
  }
  const { store, runs, pageShift } = made.value;
  const registration = { client: spapr.owner!, mm: spapr.mm, va, bytes, store, runs, pageShift, used: 1, mapped: 0 };
  if (host.registrations.overlaps(spapr.owner!, va, bytes)) {
    yield* forget({ id: 0, ...registration });
    return fail('EINVAL');
  }
  spapr.registered.push(host.registrations.add(registration).id);
  return ok(0);
}

interface Pinned {
  readonly store: number;
  readonly runs: Run[];
  readonly pageShift: number;
}

/** Every page, or the number of those that could be pinned. ENOMEM, EFAULT. */
function* pinAll(spapr: Spapr, va: bigint, bytes: bigint): Op<Result<Pinned | number>> {
  const { host, owner } = spapr;
  const pages = bytes >> BigInt(host.pageShift);
  const room = BigInt(host.frames) << FRAME_SHIFT;
  if (pages === 0n || pages * BOOKKEEPING > room) return fail('ENOMEM');
  const pinnable = yield* ask(PAGES, pagesApi.pinnable, { client: owner!, va, length: bytes });
  if (pinnable < bytes) {
    const inChunk = Number((pinnable >> BigInt(host.pageShift)) % CHUNK);
    return inChunk === 0 ? fail('EFAULT') : ok(inChunk);
  }
  const made = yield* ask(PAGES, pagesApi.storeCreate, {
    client: owner!,
    va,
    length: bytes,
    writable: true,
    rlimitMode: RLIMIT_UNCHARGED,
    pin: true,
  });
  if (!made.ok) return made;
  const { store, pinned } = made.value;
  const frames = Number(bytes >> FRAME_SHIFT);
  const runs = [...pinned.runs];
  for (let { next } = pinned; next < frames;) {
    const more = yield* ask(PAGES, pagesApi.pin, { store, first: next, count: frames - next });
    if (!more.ok) {
      yield* ask(PAGES, pagesApi.unpin, { store, ranges: [{ first: 0, count: next }], release: true });
      return more;
    }
    runs.push(...more.value.runs);
    next = more.value.next;
  }
  return ok({ store, runs, pageShift: yield* largestPage(spapr, va, bytes) });
}

const HUGE_SHIFT = 21;

/** log2 of the largest IOMMU page: the kernel's own page, or a huge page when all of the memory is made of them. */
function* largestPage(spapr: Spapr, va: bigint, bytes: bigint): Op<number> {
  const { host, owner } = spapr;
  if (((va | bytes) & ((1n << BigInt(HUGE_SHIFT)) - 1n)) !== 0n) return host.pageShift;
  const count = framesPerPage(spapr);
  const [first] = yield* ask(PAGES, pagesApi.pagePins, { client: owner!, page: Number(va >> FRAME_SHIFT), count });
  return first?.huge ? HUGE_SHIFT : host.pageShift;
}
