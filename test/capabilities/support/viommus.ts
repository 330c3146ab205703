/** The self-test's vIOMMU: objects on top of a nest parent, and its words. */
import {
  IOMMU_HW_QUEUE_ALLOC,
  IOMMU_HW_QUEUE_TYPE_SELFTEST,
  IOMMU_HWPT_ALLOC,
  IOMMU_HWPT_ALLOC_NEST_PARENT,
  IOMMU_HWPT_DATA_SELFTEST,
  iommu_test_trigger_vevent,
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  IOMMU_VDEVICE_ALLOC,
  IOMMU_VEVENTQ_ALLOC,
  IOMMU_VEVENTQ_TYPE_SELFTEST,
  IOMMU_VIOMMU_ALLOC,
  IOMMU_VIOMMU_TYPE_SELFTEST,
} from '@vfiolab/uapi';
import type { Mock, Program } from './program.js';

export const words = (...n: number[]): Uint8Array => new Uint8Array(Uint32Array.from(n).buffer);

export interface Virtual extends Mock {
  readonly ioas: number;
  readonly parent: number;
  readonly viommu: number;
}

/** A mock device, a nest parent over its IOAS, and a vIOMMU on that. */
export async function virtual(p: Program): Promise<Virtual> {
  const ioas = await p.ioas();
  const mock = await p.mock(ioas);
  const parent = await p.hwpt(mock.device, ioas, IOMMU_HWPT_ALLOC_NEST_PARENT);
  return { ioas, ...mock, parent, viommu: await viommuOn(p, mock.device, parent) };
}

export async function viommuOn(p: Program, dev_id: number, hwpt_id: number): Promise<number> {
  return (await p.ioctl(IOMMU_VIOMMU_ALLOC, { type: IOMMU_VIOMMU_TYPE_SELFTEST, dev_id, hwpt_id })).out_viommu_id;
}

/** The device's id inside of the vIOMMU: the object, or the errno. */
export async function vdevice(p: Program, viommu_id: number, dev_id: number, virt_id: bigint) {
  const made = await p.call(IOMMU_VDEVICE_ALLOC, { viommu_id, dev_id, virt_id });
  return made.errno ?? made.out.out_vdevice_id;
}

/** A guest's table on a parent HWPT or a vIOMMU: the HWPT, or the errno. */
export async function nested(p: Program, dev_id: number, pt_id: number) {
  const data = { data_type: IOMMU_HWPT_DATA_SELFTEST, data_len: 4, data_uptr: words(1) };
  const made = await p.call(IOMMU_HWPT_ALLOC, { dev_id, pt_id, ...data });
  return made.errno ?? made.out.out_hwpt_id;
}

/** An event queue: its id and its fd. */
export async function eventQueue(p: Program, viommu_id: number, veventq_depth: number) {
  const queue = { viommu_id, type: IOMMU_VEVENTQ_TYPE_SELFTEST, veventq_depth };
  const { out_veventq_id: id, out_veventq_fd: fd } = await p.ioctl(IOMMU_VEVENTQ_ALLOC, queue);
  return { id, fd };
}

export const event = (p: Program, dev_id: number) =>
  p.opErrno(IOMMU_TEST_OP_TRIGGER_VEVENT, iommu_test_trigger_vevent, 0, { dev_id });

/** A queue in guest memory: the object, or the errno. */
export async function hwQueue(p: Program, viommu_id: number, index: number, iova: bigint, length: number) {
  const queue = { viommu_id, type: IOMMU_HW_QUEUE_TYPE_SELFTEST, index };
  const made = await p.call(IOMMU_HW_QUEUE_ALLOC, { ...queue, nesting_parent_iova: iova, length: BigInt(length) });
  return made.errno ?? made.out.out_hw_queue_id;
}
