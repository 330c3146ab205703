import { type Arguments } from '@vfiolab/client';
import { IOMMU_GET_HW_INFO } from '@vfiolab/uapi';
import { Passthrough, PLAIN, RICH } from './support/iommu-host.js';

const INPUT_TYPE = 1;
const [VTD, SMMU, AMD] = [1, 2, 4];

async function info(
  iommu: string,
  bdf: string,
  fields: Arguments<typeof IOMMU_GET_HW_INFO.struct> = {},
  profile = '7.2',
) {
  const t = await Passthrough.boot({ iommu, profile });
  const { id } = await t.device(bdf);
  const data_uptr = new Uint8Array(64).fill(0xee);
  const answer = await t.ioctl(IOMMU_GET_HW_INFO, { dev_id: id, data_len: 64, data_uptr, ...fields });
  const given = fields.data_uptr instanceof Uint8Array ? fields.data_uptr : data_uptr;
  return { ...answer, data: new DataView(given.buffer), bytes: given };
}

describe('109: what GET_HW_INFO tells of an IOMMU', () => {
  it.each([
    ['intel-vtd-scalable', RICH, VTD, 24, 7n, 20],
    ['intel-vtd-scalable', PLAIN, VTD, 24, 9n, 0],
    ['intel-vtd-fs', RICH, VTD, 24, 6n, 20],
    ['intel-vtd', PLAIN, VTD, 24, 8n, 0],
    ['arm-smmu-v3-full', RICH, SMMU, 40, 7n, 20],
    ['arm-smmu-v3-nested', PLAIN, SMMU, 40, 8n, 0],
    ['amd-vi-hd', RICH, AMD, 16, 7n, 20],
    ['amd-vi', PLAIN, AMD, 16, 8n, 0],
  ])('%s, %s: type %i, %i bytes, capabilities %s, PASIDs of %i bits', async (iommu, bdf, type, length, caps, bits) => {
    const { out, bytes } = await info(iommu, bdf);
    expect([out.out_data_type, out.data_len]).toEqual([type, length]);
    expect([out.out_capabilities, out.out_max_pasid_log2]).toEqual([caps, bits]);
    expect(bytes.subarray(length).every((byte) => byte === 0)).toBe(true);
  });

  it('registers promise what the lab keeps: SSADS, NEST, PRS and PASID are set where they work and nowhere else', async () => {
    const bits = async (iommu: string): Promise<boolean[]> => {
      const ecap = (await info(iommu, PLAIN)).data.getBigUint64(16, true);
      return [45n, 26n, 29n, 40n].map((n) => ((ecap >> n) & 1n) === 1n);
    };
    expect(await bits('intel-vtd-scalable')).toEqual([true, true, true, true]);
    expect(await bits('intel-vtd-fs')).toEqual([false, false, false, true]);
    expect(await bits('intel-vtd')).toEqual([false, false, false, false]);
  });

  it.each([
    ['the driver’s own type', VTD, undefined],
    ['the default', 0, undefined],
    ['another driver’s type', SMMU, 'EOPNOTSUPP'],
    ['a type nobody has', 99, 'EOPNOTSUPP'],
  ])('asked for by type: %s', async (_why, out_data_type, errno) => {
    expect((await info('intel-vtd', PLAIN, { flags: INPUT_TYPE, in_data_type: out_data_type })).errno).toBe(errno);
  });

  it('a short buffer gets the beginning, and the length is the whole one', async () => {
    const data_uptr = new Uint8Array(8).fill(0xee);
    const { out, bytes } = await info('intel-vtd', PLAIN, { data_len: 4, data_uptr });
    expect(out.data_len).toBe(24);
    expect([...bytes]).toEqual([1, 0, 0, 0, 0xee, 0xee, 0xee, 0xee]);
  });

  it('6.12 tells neither PASIDs nor what an SMMU or AMD has', async () => {
    expect((await info('intel-vtd-scalable', RICH, {}, '6.12')).out).toMatchObject({
      out_capabilities: 1n,
      out_max_pasid_log2: 0,
    });
    expect((await info('arm-smmu-v3-nested', PLAIN, {}, '6.12')).out).toMatchObject({ out_data_type: 0, data_len: 0 });
    expect((await info('amd-vi', PLAIN, {}, '6.12')).out).toMatchObject({ out_data_type: 0, data_len: 0 });
  });
});
