/** VFIO_SET_IOMMU: chooses the backend and attaches every group to it. */
import { fail, ok } from '@vfiolab/uapi';
import { type Address, type IoctlResult, type Op } from '@vfiolab/core';
import type { Backend, BackendDriver } from '../backend.js';
import type { Container } from '../container.js';
import { DRIVERS } from '../drivers.js';
import type { Host } from '../host.js';

/**
 * The container's lock is held for writing. EINVAL: no group, or a backend already; ENODEV: no driver knows the type;
 * else what the last driver that knows it answered: EPERM, EINVAL, ENOMEM, ENOSPC ...
 */
export function* setIommu(container: Container, host: Host, client: Address, type: number): Op<IoctlResult> {
  const { groups, backend } = container;
  if (groups.length === 0 || backend) return fail('EINVAL');
  let answer: IoctlResult = fail('ENODEV');
  for (const driver of DRIVERS) {
    if (driver.noiommu !== groups[0]!.noiommu || !driver.offers(type, host)) continue;
    answer = yield* openFor(container, host, client, driver, type);
    if (answer.ok) break;
  }
  return answer;
}

function* openFor(
  container: Container,
  host: Host,
  client: Address,
  driver: BackendDriver,
  type: number,
): Op<IoctlResult> {
  const opened = yield* driver.open(type, host, client);
  if (!opened.ok) return opened;
  const joined = yield* joinAll(container, opened.value);
  if (joined.ok) container.backend = opened.value;
  return joined;
}

/** All groups or none. The newest is attached first: the kernel puts new groups at the head of its list. */
function* joinAll({ groups }: Container, backend: Backend): Op<IoctlResult> {
  const done = [];
  for (const group of [...groups].reverse()) {
    const joined = yield* backend.join(group);
    if (!joined.ok) {
      for (const undo of done.reverse()) yield* backend.leave(undo);
      yield* backend.release();
      return joined;
    }
    done.push(group);
  }
  return ok(0);
}
