/** Mock devices: made with their attachment, moved, and destroyed with their object. */
import {
  fail,
  type iommu_test_add_reserved,
  iommu_test_mock_domain,
  iommu_test_mock_domain_flags,
  iommu_test_mock_domain_replace,
  ok,
  type Result,
  type StructOf,
} from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { changePt } from '../attach.js';
import { bindMock, unbindDevice } from '../bind.js';
import { type Context, isIoas, isMockObject } from '../context.js';
import { hold } from '../objects.js';
import { U64_MAX } from '../spans.js';
import { answer, done, type TestCall } from './call.js';
import { MockObject } from './mock-object.js';

/** A device of its own group, bound and attached to `pt`: three ids. EINVAL, ENOENT, and what attaching answers. */
export function* mockDomain(call: TestCall, pt: number, arm: StructOf<typeof iommu_test_mock_domain>): Op<IoctlResult> {
  const tell = (ids: Ids): Result<void> => answer(call, iommu_test_mock_domain, arm, ids);
  return yield* makeMock(call, pt, 0, tell);
}

export function* mockDomainFlags(
  call: TestCall,
  pt: number,
  arm: StructOf<typeof iommu_test_mock_domain_flags>,
): Op<IoctlResult> {
  const tell = (ids: Ids): Result<void> => answer(call, iommu_test_mock_domain_flags, arm, ids);
  return yield* makeMock(call, pt, arm.dev_flags, tell);
}

interface Ids {
  readonly out_stdev_id: number;
  readonly out_hwpt_id: number;
  readonly out_idev_id: number;
}

function* makeMock(call: TestCall, pt: number, flags: number, tell: (ids: Ids) => Result<void>): Op<IoctlResult> {
  const { context } = call.file;
  const object = new MockObject();
  const id = context.objects.reserve(object);
  if (!id.ok) return id;
  const known = (flags & ~call.file.flags.mockDeviceFlags) === 0;
  const bound = known ? yield* bindMock(context, flags, call.file.flags.mockAmdTables) : fail('EINVAL');
  if (bound.ok) {
    object.device = bound.value;
    const attached = yield* changePt(context, object.device, pt);
    const ids = {
      out_stdev_id: object.id,
      out_hwpt_id: attached.ok ? attached.value : 0,
      out_idev_id: object.device.id,
    };
    const told = attached.ok ? tell(ids) : attached;
    if (told.ok) {
      context.objects.finalize(object);
      return done;
    }
    yield* unbindDevice(context, object.device);
    context.objects.abort(object);
    return told;
  }
  context.objects.abort(object);
  return bound;
}

/** The device of a destroyed object goes with it. */
export function* destroyMock(context: Context, { device }: MockObject): Op<void> {
  yield* unbindDevice(context, device);
}

/** Moves a mock device to another table; its old one stays when that fails. ENOENT, and what replacing answers. */
export function* mockReplace(
  call: TestCall,
  id: number,
  arm: StructOf<typeof iommu_test_mock_domain_replace>,
): Op<IoctlResult> {
  const { context } = call.file;
  const object = yield* hold(context.objects, id, isMockObject);
  if (!object.ok) return object;
  const moved = yield* changePt(context, object.value.device, arm.pt_id);
  if (!moved.ok) return moved;
  const told = answer(call, iommu_test_mock_domain_replace, arm, { pt_id: moved.value });
  return told.ok ? done : told;
}

/** A reserved range that stays as long as the IOAS. EINVAL: length 0; EOVERFLOW; ENOENT; EADDRINUSE. */
export function* addReserved(
  call: TestCall,
  id: number,
  { start, length }: StructOf<typeof iommu_test_add_reserved>,
): Op<IoctlResult> {
  if (length === 0n) return fail('EINVAL');
  const last = start + length - 1n;
  if (last > U64_MAX) return fail('EOVERFLOW');
  const ioas = yield* hold(call.file.context.objects, id, isIoas);
  if (!ioas.ok) return ioas;
  const reserved = ioas.value.reserve({ start, last, owner: 'test' });
  return reserved.ok ? ok(0) : reserved;
}
