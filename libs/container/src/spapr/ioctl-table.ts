/**
 * The front door of a container with DMA windows: one row an ioctl, with what the kernel asks before it looks at the
 * argument. A number without a row is ENOTTY, and so is one of the other version.
 */
import {
  type Errno,
  VFIO_EEH_PE_OP,
  VFIO_IOMMU_DISABLE,
  VFIO_IOMMU_ENABLE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_SPAPR_REGISTER_MEMORY,
  VFIO_IOMMU_SPAPR_TCE_CREATE,
  VFIO_IOMMU_SPAPR_TCE_GET_INFO,
  VFIO_IOMMU_SPAPR_TCE_REMOVE,
  VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY,
  VFIO_IOMMU_UNMAP_DMA,
} from '@vfiolab/uapi';
import {
  type AnyIoctlRow,
  answerIoctl,
  type IoctlArgs,
  type IoctlReply,
  type IoctlResult,
  type Op,
  type Request,
  row,
} from '@vfiolab/core';
import { replyOf } from '../reply.js';
import { disable } from './ioctl/disable.js';
import { eehPeOp } from './ioctl/eeh-pe-op.js';
import { enable } from './ioctl/enable.js';
import { getInfo } from './ioctl/get-info.js';
import { mapDma } from './ioctl/map-dma.js';
import { registerMemory } from './ioctl/register-memory.js';
import { tceCreate } from './ioctl/tce-create.js';
import { tceRemove } from './ioctl/tce-remove.js';
import { unmapDma } from './ioctl/unmap-dma.js';
import { unregisterMemory } from './ioctl/unregister-memory.js';
import type { Spapr } from './spapr.js';

type Question = (spapr: Spapr, client: string) => Errno | undefined;

interface SpaprRow {
  /** The version that has it; both when left out. */
  readonly only?: 1 | 2;
  readonly before?: Question;
  answer(spapr: Spapr, req: Request, args: IoctlArgs): IoctlReply | Op<IoctlReply>;
}

const withStruct = (found: AnyIoctlRow<Spapr>, more: Omit<SpaprRow, 'answer'> = {}): [number, SpaprRow] => [
  found.ioctl.nr,
  { ...more, answer: (spapr, req, args) => answerIoctl(found, spapr.host.flags.profile, spapr, req, args) },
];

const plain = (nr: number, run: (spapr: Spapr, client: string) => Op<IoctlResult>): [number, SpaprRow] => [
  nr,
  {
    only: 1,
    *answer(spapr, { from }) {
      return replyOf(yield* run(spapr, from));
    },
  },
];

const isEnabled: Question = ({ enabled }) => (enabled ? undefined : 'EPERM');
const hasGroups: Question = ({ groups }) => (groups.length > 0 ? undefined : 'ENXIO');
const claims: Question = (spapr, client) => (spapr.claim(client) ? undefined : 'EPERM');
const claimsGroups: Question = (spapr, client) => claims(spapr, client) ?? hasGroups(spapr, client);
const isOwned: Question = ({ owner }) => (owner === undefined ? 'EPERM' : undefined);
const hasEndpoints: Question = ({ platform, groups }) => (groups.length > 0 && !platform.eeh ? 'ENODEV' : undefined);

export const spaprTable: ReadonlyMap<number, SpaprRow> = new Map([
  withStruct(row(VFIO_IOMMU_SPAPR_TCE_GET_INFO, getInfo), { before: hasGroups }),
  withStruct(row(VFIO_IOMMU_MAP_DMA, mapDma), { before: isEnabled }),
  withStruct(row(VFIO_IOMMU_UNMAP_DMA, unmapDma), { before: isEnabled }),
  withStruct(row(VFIO_IOMMU_SPAPR_REGISTER_MEMORY, registerMemory), { only: 2, before: claims }),
  withStruct(row(VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, unregisterMemory), { only: 2, before: isOwned }),
  withStruct(row(VFIO_IOMMU_SPAPR_TCE_CREATE, tceCreate), { only: 2, before: claimsGroups }),
  withStruct(row(VFIO_IOMMU_SPAPR_TCE_REMOVE, tceRemove), { only: 2, before: claimsGroups }),
  withStruct(row(VFIO_EEH_PE_OP, eehPeOp), { before: hasEndpoints }),
  plain(VFIO_IOMMU_ENABLE.nr, enable),
  plain(VFIO_IOMMU_DISABLE.nr, disable),
]);
