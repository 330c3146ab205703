/**
 * What programs have built before two of their calls race, and the calls.
 *
 * Rule: every act of a stage can be made once, alone or beside any other; errnos are for the race to judge.
 */
import {
  IOMMU_DESTROY,
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HWPT_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION,
  iommu_test_access_replace_ioas,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  iommu_test_pasid_attach,
  iommu_test_pasid_detach,
  iommu_test_pasid_replace,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VFIO_IOAS,
  MOCK_FLAGS_DEVICE_PASID,
  VFIO_DEVICE_BIND_IOMMUFD,
  VFIO_DEVICE_DETACH_IOMMUFD_PT,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
} from '@vfiolab/uapi';
import { access, attach, attached, hwpt, nested, pin, replace, viommu } from './pieces.js';
import { APERTURE, type Session } from './world.js';

const SELFTEST = 0xdeadbeef;
const SECOND = APERTURE + 0x200000n;
const PASID_FLAG = 8;

export interface Act {
  readonly name: string;
  run(): Promise<unknown>;
}

export interface Stage {
  readonly name: string;
  build(s: Session): Promise<readonly Act[]>;
}

const act = (name: string, run: Act['run']): Act => ({ name, run });

/** Everything at once: two devices on an IOAS, a nest parent, a vIOMMU, an access with pins, a second IOAS. */
export const OBJECTS: Stage = {
  name: 'objects',
  build: async (s) => {
    const v = await viommu(s);
    const { ioas, object, device } = v;
    const spare = await hwpt(s, v);
    const other = await s.ioas();
    await s.map(other, SECOND, 8192n, 32768n);
    const a = await access(s);
    const other2 = a.ioas;
    await pin(s, a.fd);
    const second = await s.mock(ioas);
    const unmap = (ioas_id: number, iova: bigint, length: bigint) =>
      s.ioctl(IOMMU_IOAS_UNMAP, { ioas_id, iova, length });
    const destroy = (id: number) => s.ioctl(IOMMU_DESTROY, { id });
    const copy = { flags: 7, src_ioas_id: ioas, dst_ioas_id: other, src_iova: APERTURE, dst_iova: APERTURE };
    const queue = { viommu_id: v.viommu, type: SELFTEST, index: 0, nesting_parent_iova: APERTURE, length: 4096n };
    const { process, world } = s.program;
    return [
      act('MAP', () => s.map(ioas, SECOND, 8192n, 32768n)),
      act('UNMAP', () => unmap(ioas, APERTURE, 16384n)),
      act('UNMAP of everything', () => unmap(other2, 0n, 0xffffffffffffffffn)),
      act('COPY', () => s.ioctl(IOMMU_IOAS_COPY, { ...copy, length: 16384n })),
      act('a new device', () => s.mock(ioas)),
      act('a new device elsewhere', () => s.mock(other)),
      act('DESTROY of a device', () => destroy(object)),
      act('DESTROY of another device', () => destroy(second.object)),
      act('a device moves to another IOAS', () => replace(s, second.object, other)),
      act('a device moves to a HWPT', () => replace(s, second.object, spare)),
      act('HWPT_ALLOC', () => s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: ioas })),
      act('nested HWPT_ALLOC', () => nested(s, device, v.viommu)),
      act('DESTROY of a HWPT', () => destroy(spare)),
      act('DESTROY of an IOAS', () => destroy(other)),
      act('VDEVICE_ALLOC', () =>
        s.ioctl(IOMMU_VDEVICE_ALLOC, { viommu_id: v.viommu, dev_id: second.device, virt_id: 5n }),
      ),
      act('HW_QUEUE_ALLOC', () => s.ioctl(IOMMU_HW_QUEUE_ALLOC, queue)),
      act('an access pins', () => pin(s, a.fd)),
      act('an access moves', () =>
        s.op(IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, iommu_test_access_replace_ioas, a.fd, { ioas_id: ioas }),
      ),
      act('close of an access', () => world.must(process.close(a.fd))),
      act('ALLOW_IOVAS', () => s.ioctl(IOMMU_IOAS_ALLOW_IOVAS, { ioas_id: other, num_iovas: 0 })),
      act('close of /dev/iommu', () => world.must(process.close(s.fd))),
    ];
  },
};

/** One device, whose HWPT goes with it, while others come. */
export const LAST_DEVICE: Stage = {
  name: 'the last device',
  build: async (s) => {
    const { ioas, object, device } = await attached(s);
    const other = await s.ioas();
    const destroy = (id: number) => s.ioctl(IOMMU_DESTROY, { id });
    const unmap = { ioas_id: ioas, iova: APERTURE, length: 16384n };
    return [
      act('DESTROY of the device', () => destroy(object)),
      act('the device moves to another IOAS', () => replace(s, object, other)),
      act('a new device', () => s.mock(ioas)),
      act('HWPT_ALLOC', () => s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: device, pt_id: ioas })),
      act('MAP', () => s.map(ioas, SECOND, 8192n, 32768n)),
      act('UNMAP', () => s.ioctl(IOMMU_IOAS_UNMAP, unmap)),
      act('DESTROY of the IOAS', () => destroy(ioas)),
      act('DESTROY of the HWPT', () => destroy(4)),
    ];
  },
};

/** VFIO compatibility with the old type 1, which cuts mappings. */
export const COMPAT: Stage = {
  name: 'compatibility',
  build: async (s) => {
    const ioas_id = await s.ioas();
    await s.ioctl(IOMMU_VFIO_IOAS, { op: 1, ioas_id });
    await s.ioctl(IOMMU_OPTION, { option_id: 1, op: 0, object_id: ioas_id, val64: 0n });
    await s.map(ioas_id, APERTURE, 32768n);
    const first = await s.mock(ioas_id);
    const unmap = (iova: bigint, size: bigint) => s.ioctl(VFIO_IOMMU_UNMAP_DMA, { argsz: 24, iova, size });
    return [
      act('UNMAP_DMA of a part', () => unmap(APERTURE + 4096n, 4096n)),
      act('UNMAP_DMA of another part', () => unmap(APERTURE + 8192n, 8192n)),
      act('UNMAP_DMA of everything', () => s.ioctl(VFIO_IOMMU_UNMAP_DMA, { argsz: 24, flags: 2 })),
      act('MAP_DMA', () => s.ioctl(VFIO_IOMMU_MAP_DMA, { flags: 3, vaddr: s.va + 32768n, iova: SECOND, size: 4096n })),
      act('HWPT_ALLOC', () => s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: first.device, pt_id: ioas_id })),
      act('a new device', () => s.mock(ioas_id)),
      act('DESTROY of the device', () => s.ioctl(IOMMU_DESTROY, { id: first.object })),
    ];
  },
};

/** A device with PASIDs, and HWPTs fit for them. */
export const PASIDS: Stage = {
  name: 'PASIDs',
  build: async (s) => {
    const ioas = await s.ioas();
    await s.map(ioas);
    const made = { ioas, ...(await s.mock(ioas, MOCK_FLAGS_DEVICE_PASID)) };
    const { object } = made;
    const [one, two] = [await hwpt(s, made, PASID_FLAG), await hwpt(s, made, PASID_FLAG)];
    await replace(s, object, one);
    const on = (pasid: number, pt_id: number) =>
      s.op(IOMMU_TEST_OP_PASID_ATTACH, iommu_test_pasid_attach, object, { pasid, pt_id });
    await on(7, one);
    const to = (pt_id: number) =>
      s.op(IOMMU_TEST_OP_PASID_REPLACE, iommu_test_pasid_replace, object, { pasid: 7, pt_id });
    return [
      act('attach of a PASID', () => on(8, two)),
      act('attach of the same PASID', () => on(8, one)),
      act('move of a PASID', () => to(two)),
      act('detach of a PASID', () => s.op(IOMMU_TEST_OP_PASID_DETACH, iommu_test_pasid_detach, object, { pasid: 7 })),
      act('DESTROY of the device', () => s.ioctl(IOMMU_DESTROY, { id: object })),
      act('DESTROY of a HWPT', () => s.ioctl(IOMMU_DESTROY, { id: two })),
      act('the device moves to the IOAS', () => replace(s, object, ioas)),
      act('the device moves to a HWPT', () => replace(s, object, two)),
      act('UNMAP', () => s.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova: APERTURE, length: 16384n })),
    ];
  },
};

/** Functions of the machine: one attached, its sibling bound, another one open. */
export const FUNCTIONS: Stage = {
  name: 'functions',
  build: async (s) => {
    const { process, world } = s.program;
    const [first, sibling, alone] = world.bdfs as [string, string, string];
    const ioas = await s.ioas();
    await s.map(ioas);
    const one = await s.bind(first);
    await attach(s, one.dev, ioas);
    const two = await s.bind(sibling);
    const third = await s.cdev(alone);
    const { out_hwpt_id } = await s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: one.id, pt_id: ioas });
    const on = (dev: number, fields: object) =>
      s.on(dev, VFIO_DEVICE_DETACH_IOMMUFD_PT.name, VFIO_DEVICE_DETACH_IOMMUFD_PT, fields);
    const bind = { argsz: 16, iommufd: s.fd };
    return [
      act('ATTACH of the sibling', () => attach(s, two.dev, ioas)),
      act('the group moves to a HWPT', () => attach(s, one.dev, out_hwpt_id)),
      act('DETACH', () => on(one.dev, { argsz: 8 })),
      act('DETACH again', () => on(one.dev, { argsz: 8 })),
      act('close of the device', () => world.must(process.close(one.dev))),
      act('close of the sibling', () => world.must(process.close(two.dev))),
      act('BIND of another device', () => s.on(third, VFIO_DEVICE_BIND_IOMMUFD.name, VFIO_DEVICE_BIND_IOMMUFD, bind)),
      act('close of /dev/iommu', () => world.must(process.close(s.fd))),
      act('MAP', () => s.map(ioas, SECOND, 8192n, 32768n)),
      act('UNMAP', () => s.ioctl(IOMMU_IOAS_UNMAP, { ioas_id: ioas, iova: APERTURE, length: 16384n })),
      act('DESTROY of the HWPT', () => s.ioctl(IOMMU_DESTROY, { id: out_hwpt_id })),
      act('HWPT_ALLOC', () => s.ioctl(IOMMU_HWPT_ALLOC, { dev_id: two.id, pt_id: ioas })),
    ];
  },
};
