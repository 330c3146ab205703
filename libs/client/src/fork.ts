/**
 * What a child has of its parent after fork(2), but for the memory, which the pages service copies.
 *
 * Rule: fd numbers that shared an open file in the parent share one in the child; device mappings come along too.
 */
import { type NewFile, sysApi } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Descriptors, OpenFile } from './descriptors.js';
import type { DeviceMappings } from './device-mappings.js';
import type { Link } from './link.js';

export interface ProgramFiles {
  readonly fds: Descriptors;
  readonly devices: DeviceMappings;
}

/** A capability of another client for the same open file. */
export const grantFile = (link: Link, { owner, token }: OpenFile, to: string): Promise<Result<NewFile>> =>
  link.call(owner, sysApi.grant, { token, to });

/** EMFILE: the child's files that were granted before that stay its own. ENOMEM: a bound of the child's mappings. */
export async function inheritFiles(
  link: Link,
  parent: ProgramFiles,
  child: ProgramFiles,
  to: string,
): Promise<Result<void>> {
  const inherited = new Map<OpenFile, OpenFile>();
  const share = async (file: OpenFile): Promise<Result<OpenFile>> => {
    const known = inherited.get(file);
    const granted = known ? ok(known) : await grantFile(link, file, to);
    if (!granted.ok) return granted;
    const mine: OpenFile = known ?? { ...file, token: granted.value.token, users: 0 };
    mine.users++;
    inherited.set(file, mine);
    return ok(mine);
  };
  for (const fd of parent.fds.numbers()) {
    const open = parent.fds.get(fd);
    // Another thread has closed it meanwhile.
    if (!open) continue;
    const file = await share(open);
    if (!file.ok) return file;
    child.fds.put(fd, file.value);
  }
  for (const mapping of parent.devices.list()) {
    const file = await share(mapping.file);
    if (!file.ok) return file;
    if (!child.devices.add({ ...mapping, file: file.value }).ok) return fail('ENOMEM');
  }
  return ok(undefined);
}
