/**
 * What the hardware does with a VCMDQ: a store to its registers makes it take commands from guest memory, without the kernel.
 *
 * Words: a guest may give the invalidations of its own table by address and by ASID, those of its devices' ATCs, and SYNC; all
 * others are *illegal* here, and go through IOMMU_HWPT_INVALIDATE.
 * Rule: a store is over when the hardware has taken what it could. One store at a time works on a queue, and the queue cannot
 * be destroyed meanwhile; of commands CONS tells how many were carried out.
 */
import { encode, fail, IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV, iommu_vevent_tegra241_cmdqv, ok } from '@vfiolab/uapi';
import { PAGE_SIZE, type Result } from '@vfiolab/uapi';
import { call, IOMMU, iommuApi, lockRead, lockWrite, type Op, PAGES, pagesApi, unlock } from '@vfiolab/core';
import { type Context, isHwQueue } from './context.js';
import type { HwQueue } from './hw-queue.js';
import { offsetOf, VcmdqRegisters, wordsOf } from './vcmdq-registers.js';
import { COMMAND_BYTES } from './vintf.js';
import type { Viommu } from './viommu.js';

/** Commands that are read at once. */
const MAX_BATCH = 1024;
const [TLBI_NH_ASID, TLBI_NH_VA, ATC_INV, SYNC] = [0x11, 0x12, 0x40, 0x46];
const INVALIDATIONS: readonly number[] = [TLBI_NH_ASID, TLBI_NH_VA, ATC_INV];
/** The type of raw SMMU commands in IOMMU_HWPT_INVALIDATE. */
const SMMU_COMMANDS = 1;

/** A store into a VINTF's window: words count only as a whole. EFAULT: outside of it. */
export function* storeVintf(context: Context, viommu: Viommu, offset: number, data: Uint8Array): Op<Result<number>> {
  if (offset + data.length > viommu.window!.length) return fail('EFAULT');
  yield* lockRead(context.running);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const touched: HwQueue[] = [];
  for (const [index, id] of viommu.slots) {
    const queue = context.objects.get(id);
    const words = wordsOf(index, offset, data.length);
    if (!queue || !isHwQueue(queue) || words.length === 0) continue;
    const registers = new VcmdqRegisters(queue);
    for (const at of words) registers.store(at, view.getUint32(offsetOf(index, at) - offset, true));
    touched.push(queue);
  }
  for (const queue of touched) yield* takeCommands(context, queue);
  return ok(data.length);
}

function* takeCommands({ objects }: Context, queue: HwQueue): Op<void> {
  yield* lockWrite(queue.shortTerm);
  const registers = new VcmdqRegisters(queue);
  while (objects.get(queue.id) === queue) {
    const { first, count } = registers.next();
    if (count === 0) break;
    const batch = Math.min(count, MAX_BATCH);
    const commands = yield* readCommands(queue, first, batch);
    const done = yield* carryOut(queue.viommu, commands);
    registers.advance(done);
    if (done < batch) {
      registers.fail();
      reportErrors(queue.viommu, objects);
    }
  }
  yield* unlock(queue.shortTerm);
}

function readCommands({ memory }: HwQueue, first: number, count: number): Op<Uint8Array> {
  const at = memory.base + first * COMMAND_BYTES;
  const piece = { frame: Math.floor(at / PAGE_SIZE), offset: at % PAGE_SIZE, length: count * COMMAND_BYTES };
  return call(PAGES, pagesApi.dmaRead, { pieces: [piece] });
}

/** Answers how many were carried out: less than all when one is illegal. */
function* carryOut(viommu: Viommu, commands: Uint8Array): Op<number> {
  const count = commands.length / COMMAND_BYTES;
  const opcode = (i: number): number => commands[i * COMMAND_BYTES]!;
  let at = 0;
  while (at < count) {
    let end = at;
    while (end < count && INVALIDATIONS.includes(opcode(end))) end++;
    if (end > at) at += yield* invalidate(viommu, commands.slice(at * COMMAND_BYTES, end * COMMAND_BYTES));
    // What came before a SYNC has been waited for.
    if (at < end || (at < count && opcode(at) !== SYNC)) return at;
    if (at < count) at++;
  }
  return count;
}

function* invalidate({ hwpt, devices: streams }: Viommu, entries: Uint8Array): Op<number> {
  const devices = [...streams].map(([virtId, { device }]) => ({ virtId, bdf: device.bdf }));
  const array = { type: SMMU_COMMANDS, entryLength: COMMAND_BYTES, count: entries.length / COMMAND_BYTES, entries };
  return (yield* call(IOMMU, iommuApi.invalidateDevices, { parent: hwpt.domainId, ...array, devices })).done;
}

/** The guest hears which of its queues stand still; nobody may have made a queue for events. */
function reportErrors(viommu: Viommu, objects: Context['objects']): void {
  let map = 0n;
  for (const [index, id] of viommu.slots) {
    const queue = objects.get(id);
    if (queue && isHwQueue(queue) && new VcmdqRegisters(queue).failed) map |= 1n << BigInt(index);
  }
  const event = encode(iommu_vevent_tegra241_cmdqv, { lvcmdq_err_map: [map, 0n] });
  viommu.queues.get(IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV)?.report(event);
}
