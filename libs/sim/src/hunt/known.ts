/**
 * Findings that are reported and not mended yet. Rule: a line goes when its mistake does.
 */
import { type AnyIoctlDef, decode, IOMMU_TEST_CMD, iommu_test_dirty, IOMMU_TEST_OP_DIRTY } from '@vfiolab/uapi';

/** What is wrong, as the hunts say it. */
const KNOWN: readonly RegExp[] = [
  // A domain that goes leaves its cover on every area that another domain of the IOAS holds, too.
  /^.*(IOMMU_HWPT_ALLOC|IOMMU_TEST_CMD|VFIO_DEVICE_ATTACH_IOMMUFD_PT)[^:]* answers \w+ and (changes|leaves traces in) pages/,
];

/**
 * Calls that stop a service, which a hunt has to go around. DIRTY of the self-test: a page number that no message between
 * services can carry.
 */
export function stopsService(def: AnyIoctlDef, struct: Uint8Array | undefined): boolean {
  if (def.nr !== IOMMU_TEST_CMD.nr || !struct || struct.length < IOMMU_TEST_CMD.struct.size) return false;
  const { op, u } = decode(IOMMU_TEST_CMD.struct, struct);
  if (op !== IOMMU_TEST_OP_DIRTY) return false;
  const { iova, page_size: size } = decode(iommu_test_dirty, u);
  return size !== 0n && iova / size > BigInt(Number.MAX_SAFE_INTEGER);
}

/** Two acts of one stage that stop a service, in either order. */
const KNOWN_RACES: readonly (readonly [string, string])[] = [
  // An auto HWPT goes while another device is being attached to it.
  ['a new device', 'DESTROY of the device'],
  ['a new device', 'the device moves to another IOAS'],
  // An area is cut while a domain that holds it comes or goes.
  ['HWPT_ALLOC', 'UNMAP_DMA of a part'],
  ['HWPT_ALLOC', 'UNMAP_DMA of another part'],
  ['a new device', 'UNMAP_DMA of a part'],
  ['a new device', 'UNMAP_DMA of another part'],
  ['DESTROY of the device', 'UNMAP_DMA of a part'],
  ['DESTROY of the device', 'UNMAP_DMA of another part'],
  // A device gets an id in a vIOMMU while it goes.
  ['DESTROY of another device', 'VDEVICE_ALLOC'],
];

export const isSafeRace = (first: string, second: string): boolean =>
  !KNOWN_RACES.some(([a, b]) => (a === first && b === second) || (a === second && b === first));

export const unknown = (findings: readonly string[]): string[] =>
  findings.filter((finding) => !KNOWN.some((known) => known.test(finding)));
