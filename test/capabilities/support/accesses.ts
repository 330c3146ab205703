/** What the self-test's own driver reads and writes through its access to an IOAS. */
import { iommu_test_access_rw, IOMMU_TEST_OP_ACCESS_RW, type Errno } from '@vfiolab/uapi';
import type { Program } from './program.js';

const WRITE = 1;
const SLOW = 4;

/** `buffer`: memory of the program that the bytes go to or come from. `slow`: through pages, as the CPU of another mm must. */
function rw(p: Program, access: number, flags: number, iova: bigint, length: number, buffer: bigint) {
  const arm = { iova, length: BigInt(length), uptr: buffer, flags };
  return p.opErrno(IOMMU_TEST_OP_ACCESS_RW, iommu_test_access_rw, access, arm);
}

/** The bytes that it reads; throws for an errno. */
export async function readBy(
  p: Program,
  access: number,
  iova: bigint,
  length: number,
  slow = false,
): Promise<number[]> {
  const buffer = await p.memory(length);
  const errno = await rw(p, access, slow ? SLOW : 0, iova, length, buffer);
  if (errno) throw new Error(`a read of ${length} bytes at 0x${iova.toString(16)}: ${errno}`);
  const bytes = await p.read(buffer, length);
  await p.munmap(buffer, length);
  return bytes;
}

export async function writeBy(
  p: Program,
  access: number,
  iova: bigint,
  bytes: Uint8Array,
  slow = false,
): Promise<Errno | undefined> {
  const buffer = await p.memory(bytes.length);
  await p.write(buffer, bytes);
  const errno = await rw(p, access, WRITE | (slow ? SLOW : 0), iova, bytes.length, buffer);
  await p.munmap(buffer, bytes.length);
  return errno;
}
