/**
 * The files of /proc that tell of devices: misc and iomem.
 *
 * Rule: iomem is there when the machine's description has a memory map for the running release: the lab invents none.
 */
import type { Host } from './host.js';
import { miscDevices } from './kernel-build.js';
import { type DirNode, fixedDir, text } from './nodes.js';

export const procTree = (host: Host): DirNode =>
  fixedDir({
    iomem: () => (host.memoryMap ? { ...text(() => host.memoryMap!.join('\n')), rootOnly: true } : undefined),
    misc: () =>
      text(() =>
        miscDevices(host.profile, host.setup, host.iommu.platformMisc)
          .map(({ name, minor }) => `${String(minor).padStart(3)} ${name}`)
          .join('\n'),
      ),
  });
