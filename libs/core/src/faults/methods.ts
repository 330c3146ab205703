/** Messages by name and number: what rules and people call them. */
import type { AnyMethod } from '../codec.js';
import { bootApi } from '../protocol/boot.js';
import { containerApi } from '../protocol/container.js';
import { deviceApi } from '../protocol/device.js';
import { groupsApi } from '../protocol/groups.js';
import { iommuApi } from '../protocol/iommu.js';
import { iommufdApi } from '../protocol/iommufd.js';
import { labApi } from '../protocol/lab.js';
import { pagesApi } from '../protocol/pages.js';
import { streamApi, sysApi } from '../protocol/sys.js';

const all: ReadonlyMap<string, AnyMethod> = new Map(
  [bootApi, containerApi, deviceApi, groupsApi, iommuApi, iommufdApi, labApi, pagesApi, streamApi, sysApi]
    .flatMap((api) => Object.values(api) as AnyMethod[])
    .map((m) => [m.name, m]),
);

export const methodCalled = (name: string): AnyMethod | undefined => all.get(name);
export const methodNames = (): string[] => [...all.keys()];
