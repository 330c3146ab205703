/**
 * The designs of 2010 on a function: BIND to a domain that the program has opened, SHARE of another function's, and MAP on
 * the function itself, which then has a domain of its own.
 *
 * Words: a *node of 2010* is /dev/vfioN; a file of it has access once it has a *domain*, a number of the container service.
 * Rule: nothing can be done without a domain. BIND asks for one by name; MAP and SHARE make do with whatever there is, which
 * is why a SHARE the wrong way round succeeds.
 */
import {
  answerIoctl,
  call,
  CONTAINER,
  containerApi,
  deviceApi,
  deviceOf,
  failed,
  type FdArgument,
  frontDoor,
  GROUPS,
  groupsApi,
  type IoctlArgs,
  type IoctlReply,
  type IoctlResult,
  isOp,
  lockWrite,
  type Op,
  type Request,
  row,
  SegmentMemory,
} from '@vfiolab/core';
import {
  fail,
  ok,
  openPlain,
  type Result,
  UIOMMU_BIND,
  UIOMMU_MAP,
  UIOMMU_SHARE,
  UIOMMU_UNMAP,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
} from '@vfiolab/uapi';
import type { CdevFile } from './cdev-file.js';
import type { CommonDevice } from './common-device.js';

/** What drivers of that time could do with a function; everything else is ENOTTY on their nodes. */
export const knownIn2010: ReadonlySet<number> = new Set(
  [VFIO_DEVICE_GET_INFO, VFIO_DEVICE_GET_REGION_INFO, VFIO_DEVICE_GET_IRQ_INFO, VFIO_DEVICE_SET_IRQS].map((d) => d.nr),
).add(VFIO_DEVICE_RESET.nr);

interface OnNode {
  readonly device: CommonDevice;
  readonly file: CdevFile;
}

const structs = frontDoor<OnNode>({
  UIOMMU_MAP: row(UIOMMU_MAP, function* ({ file: { device, file }, client }, { flags, vaddr, iova, size }) {
    const own = yield* domainOf(device, file, client);
    if (!own.ok) return own;
    const wanted = { container: own.value.domain, client, flags, vaddr, iova, size };
    const mapped = yield* call(CONTAINER, containerApi.domainMap, wanted);
    return mapped.ok ? ok(0) : mapped;
  }),
  UIOMMU_UNMAP: row(UIOMMU_UNMAP, function* (onFile, { flags, iova, size }): Op<IoctlResult> {
    const { domain } = onFile.file.file;
    if (domain === undefined) return fail('EINVAL');
    const gone = yield* call(CONTAINER, containerApi.domainUnmap, { container: domain, flags, iova, size });
    if (!gone.ok) return gone;
    const answered = onFile.respond({ size: gone.value });
    return answered.ok ? ok(0) : answered;
  }),
});

/** Undefined: not a call of 2010. */
export function* answer2010(on: OnNode, req: Request, args: IoctlArgs): Op<IoctlReply | undefined> {
  const found = structs.get(args.cmd);
  if (found) {
    const answer = answerIoctl(found, on.device.flags.profile, on, req, args);
    return isOp(answer) ? yield* answer : answer;
  }
  const plain = [UIOMMU_BIND, UIOMMU_SHARE].find(({ nr }) => nr === args.cmd);
  if (!plain) return undefined;
  const fd = openPlain(plain, BigInt(args.arg), new SegmentMemory(args.segments));
  const named = fd.ok ? args.fds.find((each) => each.fd === fd.value) : undefined;
  if (!fd.ok) return failed(fd.errno);
  if (!named) return failed('EBADF');
  const done = plain === UIOMMU_BIND ? yield* bind(on, req.from, named) : yield* share(on, req.from, named);
  return done.ok ? { errno: 0, ret: 0, writes: [], file: undefined } : failed(done.errno);
}

/**
 * EBADF: not an open /dev/uiommu; EBUSY: the file has a domain, somebody else has the function or its group; EINVAL: the
 * domain is in use by a device that this one does not go together with; ENOSPC: out of domains.
 */
function* bind({ device, file }: OnNode, client: string, { owner, token }: FdArgument): Op<IoctlResult> {
  if (owner !== CONTAINER) return fail('EBADF');
  yield* lockWrite(device.set);
  if (file.domain !== undefined) return fail('EBUSY');
  const joined = yield* enter(device, file, { client, token });
  return joined.ok ? ok(0) : joined;
}

/** As `bind`; EBADF: not an open device of that time. Sharing with oneself does nothing. */
function* share(on: OnNode, client: string, { owner, token }: FdArgument): Op<IoctlResult> {
  const { device, file } = on;
  const other = deviceOf(owner);
  if (other === undefined) return fail('EBADF');
  if (other === device.name) return ok(0);
  // Asked before anything of this function is locked: the other one may ask the same of it.
  const theirs = yield* call(owner, deviceApi.domainOf, { token, client });
  if (!theirs.ok) return theirs;
  yield* lockWrite(device.set);
  const joined = yield* enter(device, file, { client, domain: theirs.value.domain });
  return joined.ok ? ok(0) : joined;
}

/** The domain that a file has; one of its own when it has none. */
export function* domainOf(device: CommonDevice, file: CdevFile, client: string): Op<Result<{ domain: number }>> {
  yield* lockWrite(device.set);
  return file.domain === undefined ? yield* enter(device, file, { client }) : ok({ domain: file.domain });
}

interface Wanted {
  readonly client: string;
  readonly token?: string;
  readonly domain?: number;
}

/** Into a domain, from the one that the file has, if any. The caller has the set lock. */
function* enter(device: CommonDevice, file: CdevFile, wanted: Wanted): Op<Result<{ domain: number }>> {
  const moves = file.domain !== undefined;
  if (!moves && device.isOpen) return fail('EBUSY');
  const joined = yield* call(GROUPS, groupsApi.domainJoin, { bdf: device.name, ...wanted, moves });
  if (!joined.ok) return joined;
  file.domain = joined.value.domain;
  if (moves) return joined;
  device.enable();
  if (device.resetForUser) yield* device.resetForUser();
  device.bound = file;
  return joined;
}

/** The function is quiet already. */
export function* leaveDomain(device: CommonDevice, file: CdevFile): Op<void> {
  file.domain = undefined;
  device.bound = undefined;
  yield* call(GROUPS, groupsApi.domainLeave, { bdf: device.name });
}
