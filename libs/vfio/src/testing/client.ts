/** A client of the bench: opens device files and makes system calls on them, its struct at a fixed address. */
import { type Address, deviceApi, type FdArgument, type FunctionFacts, IOMMUFD, PAGES, sysApi } from '@vfiolab/core';
import {
  decode,
  encode,
  errnoName,
  type IoctlDef,
  type StructOf,
  type AnyStruct,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_SET_IRQS,
} from '@vfiolab/uapi';
import { CLIENT, Harness, type Pending } from './harness.js';

const ARG = 0x10000;
/** File offset of config space. */
export const CONFIG = 7 * 2 ** 40;

export interface IoctlOptions {
  readonly argsz?: number;
  readonly tail?: Uint8Array;
  readonly fds?: readonly FdArgument[];
  /** The struct cannot be written. */
  readonly readOnly?: boolean;
  /** Bytes at the address, when fewer than the struct has. */
  readonly present?: number;
}

export interface IoctlOutcome<S extends AnyStruct> {
  readonly ret: number;
  readonly errno: string | undefined;
  readonly out: StructOf<S>;
  readonly bytes: Uint8Array;
}

export const iommufdFd = (fd = 3): FdArgument => ({ fd, token: 'ifd', owner: IOMMUFD });
export const eventFd = (fd: number, token: string): FdArgument => ({ fd, token, owner: PAGES });

/** Tests name files by short words; a capability has eight units. */
const named = (fd: FdArgument): FdArgument => ({ ...fd, token: fd.token.padEnd(8) });

export class Client {
  constructor(
    readonly h: Harness,
    readonly address: Address = CLIENT,
  ) {}

  open(flags = 2, minor = 0): string {
    const r = this.h.ask(sysApi.open, { path: `/dev/vfio/devices/vfio${minor}`, flags }, this.address);
    if (!r.ok) throw new Error(r.errno);
    return r.value.token;
  }

  startIoctl<S extends AnyStruct>(
    token: string,
    def: IoctlDef<string, S>,
    fields: Partial<StructOf<S>>,
    o: IoctlOptions = {},
  ): () => IoctlOutcome<S> {
    const tail = o.tail ?? new Uint8Array(0);
    const size = def.forms['6.12']?.size ?? def.struct.size;
    const image = new Uint8Array(Math.max(size, def.struct.size) + tail.length);
    image.set(encode(def.struct, { ...fields, argsz: o.argsz ?? size + tail.length } as never));
    image.set(tail, size);
    const segments = [{ va: ARG, writable: !o.readOnly, bytes: image.subarray(0, o.present ?? size + tail.length) }];
    const args = { token, cmd: def.nr, arg: ARG, segments, fds: (o.fds ?? []).map(named) };
    const pending = this.h.start(sysApi.ioctl, args, this.address);
    return () => outcome(def, image, pending);
  }

  ioctl<S extends AnyStruct>(
    token: string,
    def: IoctlDef<string, S>,
    fields: Partial<StructOf<S>>,
    o: IoctlOptions = {},
  ): IoctlOutcome<S> {
    return this.startIoctl(token, def, fields, o)();
  }

  /** An ioctl by number, without a struct. The errno, or the return value. */
  plain(token: string, cmd: number): string | number {
    const r = this.h.ask(sysApi.ioctl, { token, cmd, arg: 0, segments: [], fds: [] }, this.address);
    return r.errno ? errnoName(r.errno)! : r.ret;
  }

  bind(token: string, o: IoctlOptions = {}, fd = 3): string | undefined {
    return this.ioctl(token, VFIO_DEVICE_BIND_IOMMUFD, { iommufd: fd }, { fds: [iommufdFd()], ...o }).errno;
  }

  attach(token: string, pt = 1): string | undefined {
    return this.ioctl(token, VFIO_DEVICE_ATTACH_IOMMUFD_PT, { pt_id: pt }).errno;
  }

  /** SET_IRQS with fd numbers; each non-negative one is the eventfd `e<fd>`. */
  setEventfds(token: string, index: number, start: number, fds: readonly number[], flags = 36): string | undefined {
    const tail = new Uint8Array(new Int32Array(fds).buffer);
    const passed = fds.filter((fd) => fd >= 0).map((fd) => eventFd(fd, `e${fd}`));
    return this.ioctl(token, VFIO_DEVICE_SET_IRQS, { flags, index, start, count: fds.length }, { tail, fds: passed })
      .errno;
  }

  setIrqs(
    token: string,
    flags: number,
    index: number,
    start: number,
    count: number,
    data: readonly number[] = [],
  ): string | undefined {
    return this.ioctl(token, VFIO_DEVICE_SET_IRQS, { flags, index, start, count }, { tail: Uint8Array.from(data) })
      .errno;
  }

  /** Bytes as hex, or the errno. */
  pread(token: string, offset: number, length: number): string {
    const r = this.h.ask(sysApi.pread, { token, offset, length }, this.address);
    return r.ok ? Buffer.from(r.value).toString('hex') : r.errno;
  }

  pwrite(token: string, offset: number, hex: string): string | number {
    const r = this.h.ask(sysApi.pwrite, { token, offset, data: Buffer.from(hex, 'hex') }, this.address);
    return r.ok ? r.value : r.errno;
  }

  poke(token: string, offset: number, value: bigint, width: 4 | 8 = 4): Pending<unknown> {
    const data = new Uint8Array(8);
    new DataView(data.buffer).setBigUint64(0, value, true);
    return this.h.start(sysApi.pwrite, { token, offset, data: data.slice(0, width) }, this.address);
  }

  close(token: string): string | undefined {
    const r = this.h.ask(sysApi.close, { token }, this.address);
    return r.ok ? undefined : r.errno;
  }
}

function outcome<S extends AnyStruct>(
  def: IoctlDef<string, S>,
  image: Uint8Array,
  pending: Pending<any>,
): IoctlOutcome<S> {
  if (!pending.done) throw new Error(`${def.name} is still waiting`);
  for (const { va, bytes } of pending.value.writes) image.set(bytes, va - ARG);
  const errno = pending.value.errno ? errnoName(pending.value.errno) : undefined;
  return { ret: errno ? -1 : pending.value.ret, errno, out: decode(def.struct, image) as StructOf<S>, bytes: image };
}

/** A bench with a probed function, and eventfds e10 to e15. */
export function bench(facts: FunctionFacts): Client {
  const h = new Harness();
  const probed = h.ask(deviceApi.probe, facts);
  if (!probed.ok) throw new Error(`probe: ${probed.errno}`);
  for (let i = 10; i < 16; i++) h.world.eventfd(`e${i}`);
  return new Client(h);
}

/** A bench with a bound and attached file. */
export function boundBench(facts: FunctionFacts): { c: Client; dev: string } {
  const c = bench(facts);
  const dev = c.open();
  if (c.bind(dev) !== undefined || c.attach(dev) !== undefined) throw new Error('the bench could not bind');
  return { c, dev };
}
