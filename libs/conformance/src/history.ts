/**
 * What earlier programs of a recording had done to its host, where that lasts and the trace shows it.
 *
 * Words: a recording ran several programs on one host, in the order of their names; a *history* is a program, run before a trace
 * and not compared, that brings a fresh host to where that trace began. What it does is told by the machine (`left_behind`) or
 * by the trace. A group is *refused* when a hypervisor of POWER has once answered ENODEV
 * for it: the kernel never asks again, for as long as it runs (libs/container/src/spapr/pseries.ts).
 * Rule: a history restores state of the host and answers nothing; every step of the trace is compared as on any other host.
 */
import { machineNamed } from './machines.js';
import type { JsonObject, Step, Trace } from './trace.js';

const PLATFORM_CALLS = ['VFIO_IOMMU_MAP_DMA', 'VFIO_IOMMU_SPAPR_TCE_CREATE'];
/** Errnos of these calls that the kernel gives before it turns to the platform. */
const BEFORE_PLATFORM = ['EPERM', 'EINVAL', 'ENOTTY', 'ENOMEM', 'ENXIO', 'ENOSPC', 'EFAULT'];

/**
 * The function whose group was refused before the trace began, or is by the first call of the trace that reaches the
 * platform: in both cases all later calls find it refused.
 */
function refusedFunction(trace: Trace): string | undefined {
  const groups = new Map<string, string>();
  const containers = new Map<string, string>();
  for (const step of trace.steps) {
    const function_ = /^\/dev\/vfio\/\{group:(.*)\}$/.exec(String(step['path']))?.[1];
    if (step.op === 'open' && function_ !== undefined) groups.set(`$${String(step['as'])}`, function_);
    if (step.op !== 'ioctl') continue;
    const [request, fd, errno] = [String(step['req']), String(step['fd']), String(step['errno'])];
    const joined = groups.get(fd);
    if (request === 'VFIO_GROUP_SET_CONTAINER' && joined !== undefined && step['errno'] === undefined)
      containers.set(String((step['in'] as JsonObject)['fd']), joined);
    if (PLATFORM_CALLS.includes(request) && !BEFORE_PLATFORM.includes(errno))
      return errno === 'ENODEV' ? containers.get(fd) : undefined;
  }
  return undefined;
}

/** A second dynamic window for the group: the hypervisor refuses it. */
function refuse(bdf: string): JsonObject[] {
  const ioctl = (fd: string, req: string, more: JsonObject): JsonObject => ({ op: 'ioctl', fd, req, ...more });
  const window = { in: { page_shift: 16, window_size: 0x1000_0000, levels: 1 } };
  return [
    { op: 'open', path: '/dev/vfio/vfio', flags: 'O_RDWR', as: 'container' },
    { op: 'open', path: `/dev/vfio/{group:${bdf}}`, flags: 'O_RDWR', as: 'group' },
    ioctl('$group', 'VFIO_GROUP_SET_CONTAINER', { in: { fd: '$container' } }),
    ioctl('$container', 'VFIO_SET_IOMMU', { arg: 7 }),
    ioctl('$container', 'VFIO_IOMMU_SPAPR_TCE_REMOVE', { in: { start_addr: 0 } }),
    ioctl('$container', 'VFIO_IOMMU_SPAPR_TCE_CREATE', window),
    ioctl('$container', 'VFIO_IOMMU_SPAPR_TCE_CREATE', window),
  ];
}

/** Steps to run on a fresh host before the trace. */
export function historyOf(trace: Trace): readonly Step[] {
  const { iommu, leftBehind } = machineNamed(trace.machine);
  const steps = leftBehind.flatMap(({ from, to, steps: left }) => (from <= trace.name && trace.name < to ? left : []));
  const bdf = iommu === 'ppc64-pseries' ? refusedFunction(trace) : undefined;
  const all = bdf === undefined ? steps : [...steps, ...refuse(bdf)];
  return all.map((step, i) => ({ ...step, i, op: String(step['op']) }));
}
