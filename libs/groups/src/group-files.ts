/**
 * Open files of /dev/vfio/N: at most one a group, though several clients may hold it (dup, fork).
 *
 * Rule: a file is released when no client and no VM has it and no device that was opened through it keeps it (semantics A3.5); its
 * group leaves the container then, and only then the node can be opened again.
 */
import {
  type Address,
  type ByteReader,
  type ByteWriter,
  FileTable,
  Lock,
  lockRead,
  lockWrite,
  type NewFile,
  type Op,
  type Request,
  unlock,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { mayGoWithoutIommu } from './credentials.js';
import { devicesOf, dropBacking, type VfioGroup } from './vfio-group.js';
import type { Host } from './host.js';

export class GroupFile {
  /** Held for reading by every call on the file, for writing by its release. */
  readonly inUse = new Lock();
  /** No client has it any more. */
  closed = false;
  /** VMs that hold it. */
  holders = 0;

  constructor(
    readonly id: number,
    readonly group: VfioGroup,
  ) {}
}

const FILE_KIND = 'group';

export class GroupFiles {
  private readonly tokens = new FileTable<GroupFile>();
  private nextFile = 1;
  /** Held for reading by the calls of a client, for writing by its end. */
  private readonly calls = new Map<Address, Lock>();

  get(token: string, client: Address): GroupFile | undefined {
    return this.tokens.get(token, client);
  }

  /** Files that clients hold. */
  get size(): number {
    return this.tokens.size;
  }

  /**
   * ENODEV: no device is bound any more; EPERM: without an IOMMU, and no CAP_SYS_RAWIO; EBUSY: a member's cdev is bound, or
   * the group is open already, by whomever (A3.1).
   */
  *open(host: Host, req: Request, group: VfioGroup): Op<Result<NewFile>> {
    yield* lockWrite(group.lock);
    if (!group.alive) return fail('ENODEV');
    if (group.iommuGroup.noiommu && !(yield* mayGoWithoutIommu(req.from))) return fail('EPERM');
    if (group.file || devicesOf(host, group).some(({ cdevClaims }) => cdevClaims > 0)) return fail('EBUSY');
    const file = new GroupFile(this.nextFile, group);
    const token = this.tokens.open(req.from, file, req.entropy);
    if (token === undefined) return fail('EMFILE');
    this.nextFile++;
    group.file = file;
    return ok({ token, kind: FILE_KIND });
  }

  grant(req: Request, token: string, to: Address): Result<NewFile> {
    const file = this.tokens.get(token, req.from);
    if (!file) return fail('EBADF');
    const granted = this.tokens.open(to, file, req.entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: FILE_KIND });
  }

  *close(host: Host, token: string, client: Address): Op<Result<void>> {
    const closed = this.tokens.close(token, client);
    if (!closed) return fail('EBADF');
    if (closed.last) {
      closed.file.closed = true;
      yield* this.release(host, closed.file);
    }
    return ok(undefined);
  }

  /** A device or a VM that kept the file has let go. While a call runs on the file, its close waits for that, and does this. */
  *unused(host: Host, file: GroupFile | undefined): Op<void> {
    if (file?.closed && file.inUse.idle) yield* this.release(host, file);
  }

  /** A call of a client that may give it files: its end waits for them. */
  *enter(client: Address): Op<void> {
    let calls = this.calls.get(client);
    if (!calls) this.calls.set(client, (calls = new Lock()));
    yield* lockRead(calls);
  }

  /** No call of the client begins any more. Those under way end, then what it has is closed. */
  *endOf(host: Host, client: Address): Op<void> {
    const calls = this.calls.get(client);
    if (calls) yield* lockWrite(calls);
    this.calls.delete(client);
    for (const token of this.tokens.of(client)) yield* this.close(host, token, client);
  }

  /** Waits for the calls on the file; one of them may have opened a device, which keeps it. */
  private *release(host: Host, file: GroupFile): Op<void> {
    const { group } = file;
    yield* lockWrite(file.inUse);
    yield* lockWrite(group.lock);
    if (group.file === file && group.users === 0 && file.holders === 0) {
      yield* dropBacking(group);
      group.file = undefined;
      if (!group.alive) host.vfioGroups.delete(group.minor);
    }
    yield* unlock(group.lock);
    yield* unlock(file.inUse);
  }

  encode(w: ByteWriter): void {
    w.num(this.nextFile);
    this.tokens.encode(w);
  }

  decode(r: ByteReader, host: Host): void {
    this.nextFile = r.num();
    const files = new Map([...host.vfioGroups.values()].flatMap(({ file }) => (file ? [[file.id, file]] : [])));
    this.tokens.decode(r, (id) => files.get(id)!);
  }

  /** Broken invariants in words. */
  check(host: Host): string[] {
    const open = [...host.vfioGroups.values()].filter(({ file }) => file && !file.closed).length;
    return this.tokens.size < open ? ['I27: a group is open that no client holds'] : [];
  }
}
