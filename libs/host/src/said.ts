/** What every service of a host says of itself and of others. Rule: it only reads. */
import { type Address, CONTAINER, type Core, GROUPS, IOMMU, IOMMUFD, PAGES } from '@vfiolab/core';
import { type ContainerClaims, ContainerCore } from '@vfiolab/container';
import { GroupsCore, type GroupsClaims } from '@vfiolab/groups';
import { IommuCore } from '@vfiolab/iommu';
import { type Claims, IommufdCore } from '@vfiolab/iommufd';
import { PagesCore } from '@vfiolab/pages';

/** The running core of an address. */
export type CoreOf = (address: Address) => Core | undefined;

export interface Said {
  /** Undefined: there is no host yet. */
  readonly groups: GroupsClaims | undefined;
  readonly iommufd: Claims;
  readonly containers: ContainerClaims;
  readonly iommu: IommuCore;
  readonly pages: PagesCore;
}

/** Undefined: a service is not there. */
export function saidBy(coreOf: CoreOf): Said | undefined {
  const [groups, pages, iommu] = [coreOf(GROUPS), coreOf(PAGES), coreOf(IOMMU)];
  const [container, iommufd] = [coreOf(CONTAINER), coreOf(IOMMUFD)];
  if (!(groups instanceof GroupsCore && pages instanceof PagesCore && iommu instanceof IommuCore)) return undefined;
  if (!(container instanceof ContainerCore && iommufd instanceof IommufdCore)) return undefined;
  return { groups: groups.claims(), iommufd: iommufd.claims(), containers: container.claims(), iommu, pages };
}
