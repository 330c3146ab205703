/**
 * One open of a function: of /dev/vfio/devices/vfioN, through its group, or of a node of 2010 (see uiommu.ts).
 *
 * Rule (I16, I17): a file of the cdev gives access only while it is bound, and at most one of a function is. Files opened
 * through the group give access from the start, share what the first of them set up, and are never bound themselves.
 */
import { type ByteReader, type ByteWriter, Lock, type View } from '@vfiolab/core';

/** Linux open flags: the access mode. */
export const O_ACCMODE = 3;
export const O_WRONLY = 1;
export const O_RDWR = 2;

/** What iommufd answered to the bind. */
export interface Binding {
  readonly context: number;
  /** Id of the DEVICE object in the context. */
  readonly device: number;
}

export class CdevFile {
  /** Held for reading by every call on the file, for writing by its release: a file outlives the calls on it. */
  readonly inUse = new Lock();
  binding: Binding | undefined;
  /** Id of the HWPT in use; undefined when detached. */
  attached: number | undefined;
  /** VMs that hold the file, also when no client has it any more. */
  holders = 0;
  /** The VM that it belongs to; 0: none. */
  vm = 0;
  /** No client has it any more. */
  closed = false;
  /** Of a node of 2010: its domain, a number of the container service. */
  domain: number | undefined;
  /** PASIDs that were attached as such, PASID 0 among them. */
  readonly pasids = new Set<number>();

  constructor(
    readonly id: number,
    readonly accessMode: number,
    readonly viaGroup = false,
    /** Opened by a node of 2010. */
    readonly of2010 = false,
  ) {}

  get hasAccess(): boolean {
    return this.viaGroup || this.isBound;
  }

  /** It is the one file that the function is enabled for. */
  get isBound(): boolean {
    return this.binding !== undefined || this.domain !== undefined;
  }

  get readable(): boolean {
    return this.accessMode !== O_WRONLY;
  }

  get writable(): boolean {
    return this.accessMode === O_WRONLY || this.accessMode === O_RDWR;
  }
}

/** As they were opened; in the order of what they are where the order of opens must not tell. */
export function filesFor(all: Iterable<CdevFile>, view: View): CdevFile[] {
  const rank = ({ binding, viaGroup, closed, accessMode }: CdevFile): number =>
    (binding ? 4 : 0) + (viaGroup ? 8 : 0) + (closed ? 16 : 0) + accessMode;
  return view === 'snapshot' ? [...all] : [...all].sort((a, b) => rank(a) - rank(b));
}

/** A context's number and a file's are ours alone; a client sees the ids of the device and of the HWPT. */
export function encodeFile(w: ByteWriter, file: CdevFile, view: View): void {
  if (view === 'snapshot') w.num(file.id);
  w.u8(file.accessMode);
  w.bool(file.closed);
  if (view === 'snapshot') {
    w.num(file.holders);
    w.num(file.vm);
  }
  w.bool(file.viaGroup);
  w.bool(file.of2010);
  w.bool(file.domain !== undefined);
  if (file.domain !== undefined && view === 'snapshot') w.num(file.domain);
  w.bool(file.binding !== undefined);
  if (file.binding) {
    if (view === 'snapshot') w.num(file.binding.context);
    w.u32(file.binding.device);
  }
  w.bool(file.attached !== undefined);
  if (file.attached !== undefined) w.u32(file.attached);
  w.list(
    [...file.pasids].sort((a, b) => a - b),
    (pasid) => w.u32(pasid),
  );
}

export function decodeFile(r: ByteReader): CdevFile {
  const [id, accessMode, closed, holders, vm] = [r.num(), r.u8(), r.bool(), r.num(), r.num()];
  const file = Object.assign(new CdevFile(id, accessMode, r.bool(), r.bool()), { closed, holders, vm });
  if (r.bool()) file.domain = r.num();
  if (r.bool()) file.binding = { context: r.num(), device: r.u32() };
  if (r.bool()) file.attached = r.u32();
  r.list(() => file.pasids.add(r.u32()));
  return file;
}
