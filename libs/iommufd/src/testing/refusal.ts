/**
 * Refused calls: what they answer, and whose state they changed, which must be nobody's.
 *
 * Rule: compared is what a client could tell apart, of every service that an ioctl of /dev/iommu can reach.
 */
import { type AnyStruct, encode, type Errno, errnoName, type IoctlDef } from '@vfiolab/uapi';
import { type Address, IOMMU, IOMMUFD, PAGES, sysApi } from '@vfiolab/core';
import type { Arguments, IoctlAnswer, Process } from '@vfiolab/client';
import type { TestHost } from '@vfiolab/sim';

interface AnyBench {
  readonly host: TestHost;
  readonly p: Process;
  readonly fd: number;
  ioctl<S extends AnyStruct>(def: IoctlDef<string, S>, fields?: Arguments<S>): Promise<IoctlAnswer<S>>;
}

export interface Refusal {
  readonly errno: Errno | undefined;
  readonly changed: readonly Address[];
}

/** What `refusal` answers for a call that is refused as it should be. */
export const refused = (errno: Errno): Refusal => ({ errno, changed: [] });

const REACHED: readonly Address[] = [IOMMUFD, IOMMU, PAGES];
/** Where a struct lies that is not in the program's own memory. */
const AT = 2 ** 47;

/** Makes a call and looks at what it changed. */
export async function changes(
  host: TestHost,
  call: () => Promise<{ readonly errno: Errno | undefined }>,
): Promise<Refusal> {
  const before = REACHED.map((address) => host.meaning(address));
  const { errno } = await call();
  return { errno, changed: REACHED.filter((address, i) => !host.meaning(address).equals(before[i]!)) };
}

export const refusal = <S extends AnyStruct>(
  b: AnyBench,
  def: IoctlDef<string, S>,
  fields: Arguments<S> = {},
): Promise<Refusal> => changes(b.host, () => b.ioctl(def, fields));

/** The same with a struct that cannot be written back. Buffers of the call must be addresses. */
export const readOnly = <S extends AnyStruct>(
  b: AnyBench,
  def: IoctlDef<string, S>,
  fields: Record<string, unknown> = {},
): Promise<Refusal> => {
  const length = 'argsz' in def.struct.fields ? 'argsz' : 'size';
  const bytes = encode(def.struct, { [length]: def.struct.size, ...fields } as never);
  const struct = { va: AT, writable: false, bytes };
  return changes(b.host, () => b.host.run(b.p.ioctlAt(b.fd, def.nr, AT, [struct])));
};

/** The same for a caller that has no fd left. */
export const withoutFd = <S extends AnyStruct>(
  b: AnyBench,
  def: IoctlDef<string, S>,
  fields: Record<string, unknown> = {},
): Promise<Refusal> => {
  const bytes = encode(def.struct, { size: def.struct.size, ...fields } as never);
  const segments = [{ va: AT, writable: true, bytes }];
  const { token, owner } = b.p.fileOf(b.fd);
  const call = { token, cmd: def.nr, arg: AT, segments, fds: [] };
  return changes(b.host, async () => ({
    errno: errnoName((await b.host.run(b.p.link.call(owner, sysApi.ioctl, call))).errno),
  }));
};
