/**
 * Open files of KVM: /dev/kvm, VMs, their VFIO devices and TCE tables.
 *
 * Rule: the last close of a VFIO device lets go of everything it holds before it answers; a VM goes when nothing is left of it.
 */
import {
  type Address,
  type ByteReader,
  type ByteWriter,
  call,
  FileTable,
  Lock,
  lockWrite,
  type NewFile,
  type Op,
  PAGES,
  pagesApi,
  type Request,
  unlock,
  type View,
} from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { GroupFiles } from '../group-files.js';
import { type Host, passables } from '../host.js';
import { releaseAll } from './vfio-device.js';
import { Vm } from './vm.js';

const KINDS = ['kvm', 'kvm-vm', 'kvm-device', 'kvm-tce'] as const;

export class KvmFile {
  /** Held for reading by every call on the file, for writing by its release. */
  readonly inUse = new Lock();

  constructor(
    readonly id: number,
    readonly kind: (typeof KINDS)[number],
    /** Undefined: /dev/kvm. */
    readonly vm: Vm | undefined,
    /** Of a TCE table. */
    readonly liobn = 0n,
  ) {}
}

export class KvmFiles {
  private readonly tokens = new FileTable<KvmFile>();
  /** Not closed yet, by number. */
  private readonly open = new Map<number, KvmFile>();
  private nextFile = 1;
  private nextVm = 1;

  get(token: string, client: Address): KvmFile | undefined {
    return this.tokens.get(token, client);
  }

  get size(): number {
    return this.tokens.size;
  }

  /** A new file of a client. EMFILE. */
  make({ from, entropy }: Request, kind: KvmFile['kind'], vm?: Vm, liobn?: bigint): Result<NewFile> {
    const file = new KvmFile(this.nextFile, kind, vm, liobn);
    const token = this.tokens.open(from, file, entropy);
    if (token === undefined) return fail('EMFILE');
    this.nextFile++;
    this.open.set(file.id, file);
    return ok({ token, kind });
  }

  /** A new VM with its file. EMFILE. */
  makeVm(host: Host, req: Request): Result<NewFile> {
    const vm = new Vm(this.nextVm, req.from);
    const made = this.make(req, 'kvm-vm', vm);
    if (!made.ok) return made;
    host.vms.set(this.nextVm++, vm);
    return made;
  }

  grant(req: Request, token: string, to: Address): Result<NewFile> {
    const file = this.tokens.get(token, req.from);
    if (!file) return fail('EBADF');
    const granted = this.tokens.open(to, file, req.entropy);
    return granted === undefined ? fail('EMFILE') : ok({ token: granted, kind: file.kind });
  }

  /** EBADF. */
  *close(host: Host, files: GroupFiles, token: string, client: Address): Op<Result<void>> {
    const closed = this.tokens.close(token, client);
    if (!closed) return fail('EBADF');
    if (closed.last) yield* this.release(host, files, closed.file);
    return ok(undefined);
  }

  *endOf(host: Host, files: GroupFiles, client: Address): Op<void> {
    for (const token of this.tokens.of(client)) yield* this.close(host, files, token, client);
  }

  private *release(host: Host, files: GroupFiles, file: KvmFile): Op<void> {
    yield* lockWrite(file.inUse);
    const { vm } = file;
    if (file.kind === 'kvm-device' && vm?.vfio) {
      yield* lockWrite(vm.lock);
      yield* releaseAll(host, files, vm);
      vm.vfio = undefined;
      yield* unlock(vm.lock);
    }
    if (file.kind === 'kvm-tce') yield* dropTable(vm!, file.liobn);
    this.open.delete(file.id);
    this.forget(host, vm);
  }

  /** A file of the VM, or a device that kept it, has let go. */
  forget(host: Host, vm: Vm | undefined): void {
    if (vm && !this.keeps(vm) && !isKeptByDevice(host, vm)) host.vms.delete(vm.id);
  }

  private keeps(vm: Vm): boolean {
    for (const file of this.open.values()) if (file.vm === vm) return true;
    return false;
  }

  encode(w: ByteWriter, host: Host, view: View): void {
    w.list(host.vms, ([, vm]) => vm.encode(w, view));
    w.list(this.open, ([, { id, kind, vm, liobn }]) => {
      w.u8(KINDS.indexOf(kind));
      if (view === 'meaning') return;
      w.num(id);
      w.num(vm?.id ?? 0);
      w.u64(liobn);
    });
    if (view === 'meaning') return;
    w.num(this.nextFile);
    w.num(this.nextVm);
    this.tokens.encode(w);
  }

  decode(r: ByteReader, host: Host): void {
    for (const vm of r.list(() => Vm.decode(r, (minor) => host.vfioGroups.get(minor)!))) host.vms.set(vm.id, vm);
    r.list(() => {
      const [kind, id, vm] = [KINDS[r.u8()]!, r.num(), host.vms.get(r.num())];
      this.open.set(id, new KvmFile(id, kind, vm, r.u64()));
    });
    this.nextFile = r.num();
    this.nextVm = r.num();
    this.tokens.decode(r, (id) => this.open.get(id)!);
  }

  /** Broken invariants in words. */
  check(host: Host): string[] {
    const broken: string[] = [];
    for (const vm of host.vms.values())
      if (!this.keeps(vm) && !isKeptByDevice(host, vm)) broken.push(`I27: VM ${vm.id} is left and nobody keeps it`);
    for (const file of this.open.values())
      if (file.vm && !host.vms.has(file.vm.id)) broken.push(`I27: VM ${file.vm.id} is gone and has a file open`);
    if (this.tokens.size < this.open.size) broken.push('I27: a file of KVM is open that no client holds');
    return broken;
  }
}

/** What a guest has put into its windows stays there; the charge goes. */
function* dropTable(vm: Vm, liobn: bigint): Op<void> {
  yield* lockWrite(vm.hypercalls);
  const { mm, frames } = vm.tables.get(liobn)!;
  vm.tables.delete(liobn);
  yield* unlock(vm.hypercalls);
  yield* call(PAGES, pagesApi.unchargeLocked, { mm, frames });
}

function isKeptByDevice(host: Host, { id }: Vm): boolean {
  for (const { vfio } of passables(host)) if (vfio?.vm === id) return true;
  return false;
}
