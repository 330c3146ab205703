/**
 * Functions to test with: the edu, e1000e and nvme devices of the recorded machines. Config bytes are what clients read
 * there (traces b044, b046, b041-info-nvme), so reading them back checks the table.
 */
import { type FunctionFacts, unhex } from '@vfiolab/core';

const pad = (hex: string, bytes: number): Uint8Array => {
  const b = new Uint8Array(bytes);
  b.set(unhex(hex));
  return b;
};

const EDU_CONFIG = pad(
  '3412e811030110001000ff00000000000000a0fd000000000000000000000000000000000000000000000000f41a00110000000040000000000000000b010000' +
    '05008000',
  256,
);

/** 256 bytes, and the start of the extended capabilities. */
export const E1000E_CONFIG = pad(
  '8680d310030110000000000200000000000084fd000086fd01400000000088fd00000000000000000000000086800000' +
    '000080fdc8000000000000000b0100000000000000000000000000000000000000000000000000000000000000000000' +
    '000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000' +
    '000000000000000000000000000000001100040003000000032000000000000000000000000000000000000000000000' +
    '000000000000000001d022000000000005e0800000000000000000000000000010a00100008000000000000011040000' +
    '00001100000000000000000000000000010002140000000000000000302046000000000000e00000a000000000000000' +
    '000000000000000000000000000000000000000000000000000000000000000003000100563412ffff00545200000000',
  4096,
);

export const NVME_CONFIG = pad(
  '361b1000030110000202080100000000040060fd000000000000000000000000000000000000000000000000f41a0011' +
    '0000000040000000000000000b0100001180060000200000003000000000000000000000000000000000000000000000' +
    '010003000800000000000000000000000000000000000000000000000000000010600200008000100000000011040000' +
    '000011000000000000000000000000000000000000003000000000000000000000000000000000000000000000000000' +
    '000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000' +
    '00000000000000000000000000000000',
  256,
);

export const EDU: FunctionFacts = {
  bdf: '0000:00:03.0',
  minor: 0,
  vendor: 0x1234,
  device: 0x11e8,
  classCode: 0x00ff00,
  pcie: false,
  model: 'dma-engine',
  config: EDU_CONFIG,
  bars: [{ index: 0, size: 0x100000, io: false, wide: false, prefetchable: false }],
  profile: '6.12',
  busReset: false,
  sriov: false,
  msixGrows: true,
  exportsBars: true,
  msiAddress: 0xfee00000n,
  messages: 'number',
  powerFixed: false,
  vf: false,
  atomicOps: 0,
  vga: false,
  igd: undefined,
};

export const E1000E: FunctionFacts = {
  ...EDU,
  bdf: '0000:01:00.0',
  vendor: 0x8086,
  device: 0x10d3,
  classCode: 0x020000,
  pcie: true,
  config: E1000E_CONFIG,
  bars: [
    { index: 0, size: 0x20000, io: false, wide: false, prefetchable: false },
    { index: 1, size: 0x20000, io: false, wide: false, prefetchable: false },
    { index: 2, size: 0x20, io: true, wide: false, prefetchable: false },
    { index: 3, size: 0x4000, io: false, wide: false, prefetchable: false },
    { index: 6, size: 0x40000, io: false, wide: false, prefetchable: false },
  ],
  busReset: true,
};

export const NVME: FunctionFacts = {
  ...EDU,
  bdf: '0000:02:00.0',
  vendor: 0x1b36,
  device: 0x0010,
  classCode: 0x010802,
  pcie: true,
  config: NVME_CONFIG,
  bars: [{ index: 0, size: 0x4000, io: false, wide: true, prefetchable: false }],
};
