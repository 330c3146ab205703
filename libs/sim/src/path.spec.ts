import { readFileSync } from 'node:fs';
import {
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  VFIO_DEVICE_BIND_IOMMUFD,
} from '@vfiolab/uapi';
import { TestHost } from './test-host.js';

const machine = readFileSync(new URL('../../../test/machines/lambda-vector-wrx80-a.json', import.meta.url), 'utf8');

it('the path from open to DMA', async () => {
  const t = await TestHost.boot({ machine, iommu: 'amd-vi' });
  const p = await t.process('vmm');
  const r = await t.run(
    (async () => {
      const out: unknown[] = [];
      const gpu = '0000:41:00.0';
      out.push(await p.readlink(`/sys/bus/pci/devices/${gpu}/iommu_group`));
      out.push(await p.readlink(`/sys/bus/pci/devices/${gpu}/driver`));
      return out;
    })(),
  );
  console.log(r, t.host.addresses(), t.host.agenda.now);
  void [IOMMU_IOAS_ALLOC, IOMMU_IOAS_MAP, IOMMU_IOAS_UNMAP, VFIO_DEVICE_ATTACH_IOMMUFD_PT, VFIO_DEVICE_BIND_IOMMUFD];
});
