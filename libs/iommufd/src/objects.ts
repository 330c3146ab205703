/**
 * The objects of one iommufd context.
 *
 * Words: `users` counts long-term references, 1 of them the table's own (semantics E1); *holding* is what a running ioctl
 * does for its own duration (E2).
 * Rule: an id is reserved first and becomes visible only by `finalize`; nothing may fail after that (E5). Ids are the
 * lowest free from 1 (SURPRISES 1).
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import { Lock, type Op } from '@vfiolab/core';

export type ObjectType =
  | 'ioas'
  | 'hwpt'
  | 'nested'
  | 'device'
  | 'access'
  | 'fault'
  | 'viommu'
  | 'vdevice'
  | 'veventq'
  | 'hwqueue'
  | 'selftest';

export interface IommufdObject {
  readonly type: ObjectType;
  id: number;
  users: number;
  /** Held for reading by running ioctls, for writing by whoever destroys the object. */
  readonly shortTerm: Lock;
}

/** More objects in one context than this is ENOMEM: a bound for the lab, far above what a VMM makes. */
export const MAX_OBJECTS = 65536;

export class ObjectTable {
  private readonly live = new Map<number, IommufdObject>();
  private readonly reserved = new Set<number>();
  /** Ids that nobody gets again. */
  private readonly buried = new Set<number>();
  private lowestFree = 1;

  get size(): number {
    return this.live.size + this.reserved.size + this.buried.size;
  }

  /** Reserves the lowest free id for the object. ENOMEM at the bound. */
  reserve(object: IommufdObject): Result<number> {
    if (this.size >= MAX_OBJECTS) return fail('ENOMEM');
    let id = this.lowestFree;
    while (this.live.has(id) || this.reserved.has(id) || this.buried.has(id)) id++;
    this.lowestFree = id + 1;
    this.reserved.add(id);
    object.id = id;
    return ok(id);
  }

  /** From now on others can see the object. */
  finalize(object: IommufdObject): void {
    if (!this.reserved.delete(object.id)) throw new Error(`object ${object.id} was not reserved`);
    this.live.set(object.id, object);
  }

  /** Gives back an id that nobody ever saw. */
  abort(object: IommufdObject): void {
    if (!this.reserved.delete(object.id)) throw new Error(`object ${object.id} was not reserved`);
    this.free(object.id);
  }

  remove(object: IommufdObject): void {
    if (this.live.get(object.id) !== object) throw new Error(`object ${object.id} is not in its table`);
    this.live.delete(object.id);
    this.free(object.id);
  }

  /** Removes an object whose id is never given out again. */
  bury(object: IommufdObject): void {
    this.live.delete(object.id);
    this.buried.add(object.id);
  }

  get tombstones(): number[] {
    return [...this.buried].sort((a, b) => a - b);
  }

  /** Ids that are reserved for objects which nobody sees yet. */
  get unpublished(): number[] {
    return [...this.reserved].sort((a, b) => a - b);
  }

  private free(id: number): void {
    if (id < this.lowestFree) this.lowestFree = id;
  }

  get(id: number): IommufdObject | undefined {
    return this.live.get(id);
  }

  /** In the order of their ids. */
  all(): IommufdObject[] {
    return [...this.live.values()].sort((a, b) => a.id - b.id);
  }

  /** For decode. */
  restoreTombstone(id: number): void {
    this.buried.add(id);
  }

  /** For decode: puts an object back under its id. */
  restore(object: IommufdObject): void {
    this.live.set(object.id, object);
  }
}

export const isAnyObject = (_o: IommufdObject): _o is IommufdObject => true;

/**
 * Finds an object and holds it for the running operation. Whoever waited for a destroyer finds nothing. ENOENT, also for
 * an id of another type.
 */
export function* hold<T extends IommufdObject>(
  table: ObjectTable,
  id: number,
  is: (o: IommufdObject) => o is T,
): Op<Result<T>> {
  const object = table.get(id);
  if (!object || !is(object)) return fail('ENOENT');
  yield object.shortTerm.reading;
  return table.get(id) === object ? ok(object) : fail('ENOENT');
}
