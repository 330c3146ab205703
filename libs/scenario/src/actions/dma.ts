/**
 * The action of a driver: lets the lab's DMA engine copy from one IOVA to another, by the registers of QEMU's edu device.
 *
 * Rule: only registers are written, as any program could do step by step. Whether the bytes came through is for later steps to
 * see, in memory or in the IOMMU's event log: the engine itself does not tell.
 */
import type { Action, Call } from './action.js';
import { failure, success } from './action.js';
import type { ActionArgs } from '../scenario.js';

const CONFIG_COMMAND = 7 * 2 ** 40 + 4;
/** Memory decode and bus master. */
const COMMAND_ON = Uint8Array.of(6, 0);
const [SOURCE, DESTINATION, COUNT, COMMAND] = [0x80, 0x88, 0x90, 0x98];
/** The engine's own memory, and its two directions. */
const BUFFER = 0x40000n;
const BUFFER_BYTES = 4096;
const [FETCH, STORE] = [1n, 3n];

interface Write {
  readonly at: number;
  readonly bytes: Uint8Array;
}

function register(at: number, value: bigint, littleEndian: boolean): Write {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, littleEndian);
  return { at, bytes };
}

function writes(call: Call, { from, to, length, bigEndian = false }: ActionArgs['dma']): Write[] {
  const values: readonly (readonly [number, bigint])[] = [
    [SOURCE, call.num(from)],
    [DESTINATION, BUFFER],
    [COUNT, BigInt(call.int(length, BUFFER_BYTES))],
    [COMMAND, FETCH],
    [SOURCE, BUFFER],
    [DESTINATION, call.num(to)],
    [COMMAND, STORE],
  ];
  const registers = values.map(([at, value]) => register(at, value, !bigEndian));
  return [{ at: CONFIG_COMMAND, bytes: COMMAND_ON }, ...registers];
}

export const dmaAction: Action<'dma'> = {
  facts: [],
  calls: true,
  words: (call, { fd, from, to, length }) =>
    `dma(${call.file(fd)}, ${call.at(from)} -> ${call.at(to)}, ${call.num(length)} bytes)`,
  run: async (call, args) => {
    for (const { at, bytes } of writes(call, args)) {
      const written = await call.process.pwrite(call.fd(args.fd), at, bytes);
      if (!written.ok) return failure(written.errno);
    }
    return success('started');
  },
};
