/** Methods by name, for people who write `pages.storeCreate` in a scenario. */
import {
  type AnyMethod,
  bootApi,
  containerApi,
  deviceApi,
  groupsApi,
  iommuApi,
  iommufdApi,
  labApi,
  pagesApi,
  sysApi,
} from '@vfiolab/core';

const all: ReadonlyMap<string, AnyMethod> = new Map(
  [bootApi, containerApi, deviceApi, groupsApi, iommuApi, iommufdApi, labApi, pagesApi, sysApi]
    .flatMap((api) => Object.values(api) as AnyMethod[])
    .map((m) => [m.name, m]),
);

export function methodNamed(name: string): AnyMethod {
  const found = all.get(name);
  if (!found) throw new Error(`no method is called ${name}; there are ${[...all.keys()].join(', ')}`);
  return found;
}
