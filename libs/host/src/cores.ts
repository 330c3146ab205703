/**
 * Which core answers for an address.
 *
 * Rule: a host has one actor of each service, and one `device` actor for every PCI function that is asked for.
 */
import {
  type Address,
  CONTAINER,
  type Core,
  deviceOf,
  GROUPS,
  IOMMU,
  IOMMUFD,
  LAB,
  type LentMemory,
  PAGES,
} from '@vfiolab/core';
import { ContainerCore } from '@vfiolab/container';
import { GroupsCore } from '@vfiolab/groups';
import { IommuCore } from '@vfiolab/iommu';
import { IommufdCore } from '@vfiolab/iommufd';
import { LabCore } from '@vfiolab/lab';
import { PagesCore } from '@vfiolab/pages';
import { DeviceCore } from '@vfiolab/vfio';

/** The services that every host has, in the order in which they are started. */
export const SERVICES: readonly Address[] = [LAB, GROUPS, PAGES, IOMMU, CONTAINER, IOMMUFD];

const makers: Readonly<Record<string, (lent: LentMemory) => Core>> = {
  [LAB]: () => new LabCore(),
  [GROUPS]: () => new GroupsCore(),
  [PAGES]: (lent) => new PagesCore(lent),
  [IOMMU]: () => new IommuCore(),
  [CONTAINER]: () => new ContainerCore(),
  [IOMMUFD]: () => new IommufdCore(),
};

/** A fresh core for the address; undefined when no service has it. `lent`: memory of this process for programs of the lab. */
export function makeCore(address: Address, lent: LentMemory = new Map()): Core | undefined {
  const make = makers[address];
  if (make) return make(lent);
  return deviceOf(address) === undefined ? undefined : new DeviceCore();
}
