/** Random use of open devices: what they say of themselves, registers, interrupts, resets, features, DMA. */
import {
  decode,
  encode,
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
  VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_MIG_GET_PRECOPY_INFO,
  vfio_device_feature_dma_buf,
  vfio_device_feature_mig_state,
  vfio_region_dma_range,
} from '@vfiolab/uapi';
import { canProbe, choosePasid, CONFIG, enable, probe, transfer } from './dma.js';
import { PASIDS } from './iommufd-moves.js';
import { PAGES, range } from './memory-moves.js';
import type { DeviceFile } from './model.js';
import { any, likely, type Move } from './moves.js';
import type { Program } from './program.js';

/** A device that answers. */
const device = (p: Program): DeviceFile =>
  likely(p.chance, p.model.devices, ({ cdev, iommufd }) => !cdev || iommufd !== undefined);

async function ask(p: Program): Promise<void> {
  const { chance } = p;
  const fd = p.fdOr(device(p).fd);
  const room = chance.pick([0, 32, 200]);
  const index = chance.below(11);
  const turn = chance.below(4);
  if (turn === 0) await p.ioctl(fd, VFIO_DEVICE_GET_INFO, {}, { room });
  else if (turn === 1) await p.ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, { index }, { room });
  else if (turn === 2) await p.ioctl(fd, VFIO_DEVICE_GET_IRQ_INFO, { index: index % 6 });
  else await p.ioctl(fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, {}, { room });
}

async function eventfd(p: Program): Promise<void> {
  const fd = await p.get(p.process.eventfd());
  if (fd !== undefined) p.model.eventfds.push(fd);
}

const [NONE, BOOL, EVENTFD] = [1, 2, 4];
const [MASK, UNMASK, TRIGGER] = [8, 16, 32];

async function interrupts(p: Program): Promise<void> {
  const { chance, model } = p;
  const { fd } = device(p);
  if (model.eventfds.length === 0) await eventfd(p);
  const index = chance.pick([0, 0, 1, 1, 2, 3, 4]);
  const count = index === 1 || index === 2 ? 1 + chance.below(3) : 1;
  const start = chance.once(6) ? 1 : 0;
  const off = chance.once(5);
  const data = off ? NONE : chance.pick([EVENTFD, EVENTFD, EVENTFD, BOOL, NONE]);
  const action = chance.pick([TRIGGER, TRIGGER, TRIGGER, TRIGGER, MASK, UNMASK]);
  const fds = Int32Array.from({ length: count }, () => (chance.once(6) ? -1 : (any(chance, model.eventfds) ?? -1)));
  const tail = data === EVENTFD ? new Uint8Array(fds.buffer) : new Uint8Array(data === BOOL ? count : 0).fill(1);
  const fields = { flags: data | action, index, start, count: off ? 0 : count };
  await p.ioctl(p.fdOr(fd), VFIO_DEVICE_SET_IRQS, fields, { tail });
}

async function reset(p: Program): Promise<void> {
  const { chance, model } = p;
  const { fd, cdev } = device(p);
  if (chance.once(2)) return void (await p.plain(p.fdOr(fd), VFIO_DEVICE_RESET));
  const groups = model.groups.filter(() => !chance.once(5)).map((each) => each.fd);
  const fds = Int32Array.from(cdev && !chance.once(8) ? [] : groups);
  const tail = new Uint8Array(fds.buffer);
  await p.ioctl(fd, VFIO_DEVICE_PCI_HOT_RESET, { count: fds.length }, { tail });
}

async function ioeventfd(p: Program): Promise<void> {
  const { chance, model } = p;
  const flags = chance.pick([1, 2, 4, 8]);
  const fd = chance.once(4) ? -1 : (any(chance, model.eventfds) ?? -1);
  const offset = BigInt(8 * chance.below(16));
  await p.ioctl(device(p).fd, VFIO_DEVICE_IOEVENTFD, { flags, offset, data: BigInt(chance.below(3)), fd });
}

const ANY_FEATURE = 14;
const u64s = (...values: bigint[]): Uint8Array => new Uint8Array(BigUint64Array.from(values).buffer);

/** Payload of a feature that has one. */
function payload(p: Program, feature: number): Uint8Array {
  const { chance, model } = p;
  const { iova, bytes, va } = range(p);
  const memory = BigInt(any(chance, model.memory)?.va ?? 0);
  switch (feature) {
    case VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
      return chance.bytes(16);
    case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
      return new Uint8Array(Int32Array.of(any(chance, model.eventfds) ?? -1, 0).buffer);
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
      return u64s(4096n, BigInt(chance.below(2)), memory);
    case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
      return u64s(iova, bytes, 4096n, va);
    case VFIO_DEVICE_FEATURE_BUS_MASTER:
      return new Uint8Array(Uint32Array.of(chance.below(2)).buffer);
    case VFIO_DEVICE_FEATURE_DMA_BUF: {
      const head = encode(vfio_device_feature_dma_buf, { region_index: 0, open_flags: 2, nr_ranges: 1 });
      const one = encode(vfio_region_dma_range, { offset: 0n, length: 4096n });
      return Uint8Array.from([...head, ...one]);
    }
    default:
      return new Uint8Array(feature === VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY ? 0 : 8);
  }
}

const FEATURES = [
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_BUS_MASTER,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
];
const GETS: ReadonlySet<number> = new Set([
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_BUF,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
]);

async function feature(p: Program): Promise<void> {
  const { chance, model } = p;
  const d = device(p);
  const number = chance.once(12) ? chance.below(ANY_FEATURE) : chance.pick(FEATURES);
  const way = chance.once(10)
    ? VFIO_DEVICE_FEATURE_PROBE
    : GETS.has(number)
      ? VFIO_DEVICE_FEATURE_GET
      : VFIO_DEVICE_FEATURE_SET;
  d.odd = true;
  const { ret, errno } = await p.ioctl(
    d.fd,
    VFIO_DEVICE_FEATURE,
    { flags: way | number },
    { tail: payload(p, number) },
  );
  if (!errno && number === VFIO_DEVICE_FEATURE_DMA_BUF && way === VFIO_DEVICE_FEATURE_GET) model.others.push(ret);
}

/** To another state of migration; what that opens is read or written a little. */
async function migrate(p: Program): Promise<void> {
  const { chance, model } = p;
  const d = device(p);
  d.odd = true;
  const device_state = chance.below(9);
  const flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;
  const tail = encode(vfio_device_feature_mig_state, { device_state, data_fd: -1 });
  const { errno, tail: out } = await p.ioctl(d.fd, VFIO_DEVICE_FEATURE, { flags }, { tail });
  const { data_fd } = decode(vfio_device_feature_mig_state, out);
  if (!errno && data_fd >= 0) model.others.push(data_fd);
}

async function data(p: Program): Promise<void> {
  const { chance, process } = p;
  const fd = chance.pick(p.model.others);
  const turn = chance.below(3);
  if (turn === 0) await p.get(process.readFile(fd, 1 + chance.below(3000)));
  else if (turn === 1) await p.get(process.writeFile(fd, new Uint8Array(chance.below(200))));
  else await p.ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO);
}

/** Reads and writes of config space and registers, most of them harmless. */
async function registers(p: Program): Promise<void> {
  const { chance, process } = p;
  const d = device(p);
  const region = chance.once(2) ? CONFIG : chance.below(10) * 2 ** 40;
  const width = chance.pick([1, 2, 4, 8]);
  const offset = region + width * chance.below(256 / width);
  if (chance.once(2)) return void (await p.get(process.pread(d.fd, offset, width)));
  d.odd = true;
  await p.get(process.pwrite(d.fd, offset, chance.bytes(width)));
}

/** Sometimes as memory for DMA from then on. */
async function mapRegion(p: Program): Promise<void> {
  const { chance, process, model, yard } = p;
  const d = device(p);
  const bytes = PAGES * yard.page;
  const va = await p.get(process.mapDevice(d.fd, chance.once(5) ? 2 ** 40 : 0, bytes));
  if (va === undefined) return;
  // The engine's registers below 0x80 are as good as any.
  if (chance.once(2)) await p.get(process.load(va, 4));
  if (chance.once(2)) await p.get(process.store(va + 4, 4, chance.bytes(4)));
  if (chance.once(3)) await p.get(process.munmap(va, bytes));
  else if (chance.once(2)) model.memory.push({ va, bytes, registers: true });
}

/** DMA to anywhere, while the program does other things. */
function dma(p: Program): Promise<void> {
  const { chance } = p;
  const d = device(p);
  const m = d.space && any(chance, [...d.space.maps, ...d.space.gone]);
  const iova = m && !chance.once(6) ? m.iova : range(p).iova;
  const on = chance.once(4);
  const toMemory = chance.once(2);
  const pasid = chance.once(2) ? chance.pick(PASIDS) : undefined;
  p.laterDma(async () => {
    if (on) await enable(p, d);
    await choosePasid(p, d, pasid);
    await transfer(p, d, toMemory, iova);
  });
  return Promise.resolve();
}

const has: Move['has'] = ({ devices }) => devices.length > 0;

export const DEVICE_MOVES: readonly Move[] = [
  { name: 'device ask', weight: 6, has, run: ask },
  { name: 'eventfd', weight: 4, has: ({ eventfds }) => eventfds.length < 6, run: eventfd },
  { name: 'interrupts', weight: 8, has, run: interrupts },
  { name: 'reset', weight: 3, has, run: reset },
  { name: 'ioeventfd', weight: 2, has, run: ioeventfd },
  { name: 'feature', weight: 4, has, run: feature },
  { name: 'migrate', weight: 3, has, run: migrate },
  { name: 'data', weight: 4, has: ({ others }) => others.length > 0, run: data },
  { name: 'registers', weight: 3, has, run: registers },
  { name: 'map region', weight: 2, has, run: mapRegion },
  { name: 'dma', weight: 25, has, run: dma },
  { name: 'probe', weight: 25, has: (_, p) => canProbe(p), run: probe },
];
