/**
 * A client with the file of a group on the bench of the small machine, whose services answer as a test says.
 *
 * Rule: containers and iommufds agree to everything, and devices open, unless a test says otherwise.
 */
import {
  CONTAINER,
  type FdArgument,
  IOMMUFD,
  PAGES,
  type Segment,
  type NewFile,
  type ReplyOf,
  sysApi,
} from '@vfiolab/core';
import {
  errnoName,
  ok,
  type Result,
  VFIO_GROUP_GET_DEVICE_FD,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
} from '@vfiolab/uapi';
import { CLIENT, sealedBench, SETUP, type Services } from './machines.js';

/** Arguments end here, with their page. */
const END = 0x20000;
export const TOKEN = '0123456789abcdef';
/** fds of the client: 10 is a container, 11 an iommufd, 12 an eventfd. */
const FDS: readonly FdArgument[] = [
  { fd: 10, token: TOKEN.slice(0, 8), owner: CONTAINER },
  { fd: 11, token: TOKEN.slice(0, 8), owner: IOMMUFD },
  { fd: 12, token: TOKEN.slice(0, 8), owner: PAGES },
];

const agreeable: Services = {
  container: {
    hold: () => ok({ container: 5 }),
    drop: () => undefined,
    join: () => ok(undefined),
    leave: () => undefined,
    ready: () => ok(undefined),
  },
  iommufd: { compatHold: () => ok({ context: 7 }), compatDrop: () => undefined, compatNoiommu: () => ok(undefined) },
  device: { openInGroup: () => ok({ token: TOKEN.slice(0, 8), kind: 'device' }) },
};

export type GroupBench = ReturnType<typeof groupBench>;

export function groupBench(services: Services = {}, setup = SETUP) {
  const all = { ...agreeable, ...services };
  for (const name of ['container', 'iommufd', 'device'] as const) all[name] = { ...agreeable[name], ...services[name] };
  const bench = sealedBench(all, setup);
  const open = (path: string, from = CLIENT): string => {
    const opened: Result<NewFile> = bench.get(from, sysApi.open, { path, flags: 2 });
    return opened.ok ? opened.value.token : opened.errno;
  };
  const call = (token: string, cmd: number, bytes: Uint8Array, from: string) => {
    const va = END - bytes.length;
    const segments: Segment[] = bytes.length > 0 ? [{ va, writable: true, bytes }] : [];
    return bench.ask(from, sysApi.ioctl, { token, cmd, arg: va, segments, fds: [...FDS] });
  };
  const ioctl = (token: string, cmd: number, bytes: Uint8Array, from = CLIENT): string | number => {
    const asked = call(token, cmd, bytes, from);
    if (!asked.done) return 'waits';
    const { errno, ret, file } = asked.value as ReplyOf<typeof sysApi.ioctl>;
    return errno ? errnoName(errno)! : file ? `${file.kind} of ${file.owner}` : ret;
  };
  return {
    bench,
    open,
    ioctl,
    close: (token: string, from = CLIENT) => bench.ask(from, sysApi.close, { token }),
    /** Flags, or the errno. */
    status: (token: string) => {
      const bytes = Uint8Array.of(8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff);
      const asked = call(token, VFIO_GROUP_GET_STATUS.nr, bytes, CLIENT);
      const { errno, writes } = asked.value as ReplyOf<typeof sysApi.ioctl>;
      return errno ? errnoName(errno)! : new DataView(writes[0]!.bytes.slice().buffer).getUint32(4, true);
    },
    set: (token: string, fd: number) =>
      ioctl(token, VFIO_GROUP_SET_CONTAINER.nr, new Uint8Array(new Int32Array([fd]).buffer)),
    unset: (token: string) => ioctl(token, VFIO_GROUP_UNSET_CONTAINER.nr, new Uint8Array(0)),
    device: (token: string, name: string) =>
      ioctl(token, VFIO_GROUP_GET_DEVICE_FD.nr, new TextEncoder().encode(`${name}\0`)),
    /** What other services were asked since the last time, but for the IOMMU's and the pages'. */
    heard: (): string[] => {
      const asked = bench.heard.splice(0).map(({ method }) => method);
      return asked.filter((name) => !name.startsWith('pages.'));
    },
  };
}
