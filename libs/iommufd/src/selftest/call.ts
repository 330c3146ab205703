/** What the self-test's ops share: their call, and how they answer. */
import {
  type AnyStruct,
  decode,
  fail,
  type iommu_test_cmd,
  ok,
  type Result,
  type StructOf,
  writeFields,
} from '@vfiolab/uapi';
import type { IoctlResult, Op } from '@vfiolab/core';
import { isHwpt } from '../context.js';
import type { PagingHwpt } from '../hwpt.js';
import type { Call } from '../ioctl/call.js';
import { hold } from '../objects.js';

export type TestCall = Call<typeof iommu_test_cmd>;
export type TestCmd = StructOf<typeof iommu_test_cmd>;

/** One op: its arm of the command's union, and the function that carries it out. */
export interface TestOp<S extends AnyStruct = AnyStruct> {
  readonly arm: S;
  run(call: TestCall, id: number, arm: StructOf<S>): Op<IoctlResult>;
}

export const testOp = <S extends AnyStruct>(arm: S, run: TestOp<S>['run']): TestOp => ({
  arm,
  run: (call, id, raw) => run(call, id, raw as StructOf<S>),
});

/** Copies the command back with these fields of its arm. EFAULT. */
export function answer<S extends AnyStruct>(
  call: TestCall,
  layout: S,
  arm: StructOf<S>,
  fields: Partial<StructOf<S>>,
): Result<void> {
  const u = new Uint8Array(48);
  writeFields(layout, u, { ...arm, ...fields });
  return call.respond({ u });
}

/** A paging HWPT over a mock domain. ENOENT; EINVAL: over a real one. */
export function* holdMock(call: TestCall, id: number): Op<Result<PagingHwpt>> {
  const hwpt = yield* hold(call.file.context.objects, id, isHwpt);
  if (!hwpt.ok) return hwpt;
  return hwpt.value.mock ? hwpt : fail('EINVAL');
}

/** An op that answers with nothing but its success. */
export const done = ok(0);

export const armOf = (op: TestOp, cmd: TestCmd): StructOf<AnyStruct> => decode(op.arm, cmd.u);
