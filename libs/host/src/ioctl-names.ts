/** Names of ioctls as a service knows them, for people. */
import { type Address, CONTAINER, GROUPS, IOMMUFD, PAGES } from '@vfiolab/core';
import {
  compatIoctls,
  containerIoctls,
  deviceIoctls,
  groupIoctls,
  iommufdIoctls,
  type IoctlSet,
  kvmDeviceIoctls,
  kvmIoctls,
  kvmVmIoctls,
  migrationIoctls,
  spaprIoctls,
  type1Ioctls,
  udmabufIoctls,
  uiommuIoctls,
} from '@vfiolab/uapi';

const namesIn = (...sets: IoctlSet[]): ReadonlyMap<number, string> =>
  new Map(sets.flatMap((set) => Object.entries(set).map(([name, { nr }]) => [nr, name] as const)));

const NAMES: ReadonlyMap<Address, ReadonlyMap<number, string>> = new Map([
  [IOMMUFD, namesIn(compatIoctls, iommufdIoctls)],
  [CONTAINER, namesIn(uiommuIoctls, spaprIoctls, type1Ioctls, containerIoctls)],
  [GROUPS, namesIn(kvmIoctls, kvmVmIoctls, kvmDeviceIoctls, groupIoctls)],
  [PAGES, namesIn(udmabufIoctls)],
]);
const OF_DEVICES = namesIn(uiommuIoctls, migrationIoctls, deviceIoctls);

/** The number in hexadecimal when the service knows no such ioctl. */
export const ioctlNameAt = (address: Address, cmd: number): string =>
  (NAMES.get(address) ?? OF_DEVICES).get(cmd) ?? `0x${cmd.toString(16)}`;
