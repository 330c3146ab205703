/**
 * DMA of the engine that every function has, and what it must do to memory.
 *
 * Words: to *probe* is to foretell: what is mapped is copied, what is not stays as it is.
 * Rule: only bytes are judged. Where somebody else may have changed what is mapped, or how the function is set up, nothing
 * is foretold; what holds everywhere is that no byte of one family's is ever found in another's memory.
 */
import type { DeviceFile, Mapping, Space } from './model.js';
import { any } from './moves.js';
import { MAX_FAMILIES, Program } from './program.js';
import { RICH } from './rich-function.js';

/** Registers of the engine, and its buffer. */
const [SOURCE, DESTINATION, COUNT, COMMAND] = [0x80, 0x88, 0x90, 0x98];
const BUFFER = 0x40000n;
const [FROM_MEMORY, TO_MEMORY] = [1n, 3n];
export const CONFIG = 7 * 2 ** 40;
const CONFIG_COMMAND = CONFIG + 4;
/** Memory and bus master. */
const ON = Uint8Array.of(6, 0);
/** Bytes that move, and of a page that are looked at. */
export const PIECE = 32;

const register = (p: Program, { fd }: DeviceFile, offset: number, value: bigint): Promise<unknown> => {
  const bytes = new Uint8Array(BigUint64Array.of(value).buffer);
  if (p.yard.power) bytes.reverse();
  return p.sys(p.process.pwrite(fd, offset, bytes));
};

/** PASID of the DMA from then on, for a function that has such a register. */
const PASID_REGISTER = 0xa0;
const WITH_PASID = 0x8000_0000;
export async function choosePasid(p: Program, { fd, name }: DeviceFile, pasid: number | undefined): Promise<void> {
  if (name !== RICH) return;
  const word = new Uint8Array(4);
  if (pasid !== undefined) new DataView(word.buffer).setUint32(0, WITH_PASID | pasid, true);
  await p.sys(p.process.pwrite(fd, PASID_REGISTER, word));
}

export const enable = (p: Program, { fd }: DeviceFile): Promise<unknown> =>
  p.sys(p.process.pwrite(fd, CONFIG_COMMAND, ON));

/** A refused DMA changes nothing. */
export async function transfer(p: Program, d: DeviceFile, toMemory: boolean, iova: bigint): Promise<void> {
  await register(p, d, SOURCE, toMemory ? BUFFER : iova);
  await register(p, d, DESTINATION, toMemory ? iova : BUFFER);
  await register(p, d, COUNT, BigInt(PIECE));
  await register(p, d, COMMAND, toMemory ? TO_MEMORY : FROM_MEMORY);
}

const fill = (p: Program, va: bigint, mark: number): Promise<unknown> =>
  p.sys(p.process.write(Number(va), new Uint8Array(PIECE).fill(mark)));

/** The byte that a piece of memory is full of; undefined: it is not there, or not of one. */
async function byteAt(p: Program, va: bigint): Promise<number | undefined> {
  const bytes = await p.get(p.process.read(Number(va), PIECE));
  return bytes?.every((b) => b === bytes[0]) ? bytes[0] : undefined;
}

const fresh = (list: readonly Mapping[]): Mapping[] => list.filter(({ stale }) => !stale);
const covered = (space: Space, { iova }: Mapping): boolean =>
  space.maps.some((m) => m.iova < iova + BigInt(PIECE) && iova < m.iova + m.bytes);

/** Devices in spaces of which everything is known, with something mapped. */
const certain = (p: Program): DeviceFile[] =>
  p.threads > 1 || p.yard.exposed
    ? []
    : p.model.devices.filter((d) => !d.odd && d.alone && d.space && !d.space.shared && fresh(d.space.maps).length > 0);

export const canProbe = (p: Program): boolean => certain(p).length > 0;

/** Copies between two mappings, or from one to a place that is not mapped any more. */
export async function probe(p: Program): Promise<void> {
  await p.dmaDone();
  const device = p.chance.pick(certain(p));
  const space = device.space!;
  const from = fresh(space.maps)[0]!;
  const gone = fresh(space.gone).filter((m) => !covered(space, m));
  const mapped = fresh(space.maps).slice(1);
  const lands = mapped.length > 0 && (gone.length === 0 || p.chance.once(2));
  const to = any(p.chance, lands ? mapped : gone);
  if (!to || (from.va < to.va + to.bytes && to.va < from.va + from.bytes)) return;
  const [moved, kept] = p.marks;
  await enable(p, device);
  await choosePasid(p, device, undefined);
  await fill(p, from.va, moved);
  await fill(p, to.va, kept);
  await transfer(p, device, false, from.iova);
  await transfer(p, device, true, to.iova);
  const got = await byteAt(p, to.va);
  // Somebody has broken it meanwhile.
  if (p.yard.faulty.has(device.name)) return;
  p.around.tally.foretold++;
  if (got !== (lands ? moved : kept))
    p.around.tally.find(
      `I01: ${p.process.name}: ${device.name} wrote to IOVA 0x${to.iova.toString(16)}, which is ${lands ? '' : 'not '}mapped: memory has ${got} instead of ${lands ? moved : kept}`,
    );
}

/** Is there anything of another family in this piece of memory? */
export async function lookForForeign(p: Program, va: number): Promise<void> {
  if (p.yard.exposed) return;
  const bytes = await p.get(p.process.read(va, PIECE));
  for (let at = 0; bytes && at < PIECE; at += 8) {
    const eight = bytes.subarray(at, at + 8);
    const family = eight.every((b) => b === eight[0]) ? Program.familyOf(eight[0]!) : undefined;
    if (family !== undefined && family < MAX_FAMILIES && family !== p.family)
      p.around.tally.find(
        `I06: ${p.process.name} finds bytes of family ${family} in its memory at 0x${va.toString(16)}`,
      );
  }
}
