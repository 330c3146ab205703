/**
 * Places and bits of PCI config space that the device service looks at. Offsets in bytes; those of a capability count
 * from its first byte. Source: PCI Local Bus 3.0 and PCI Express 4.0 specifications.
 */
export const HEADER_SIZE = 64;
export const CONFIG_SIZE = 256;
export const EXTENDED_CONFIG_SIZE = 4096;

export const VENDOR_ID = 0x00;
export const DEVICE_ID = 0x02;
export const COMMAND = 0x04;
export const STATUS = 0x06;
export const CLASS_CODE = 0x09;
export const CACHE_LINE = 0x0c;
export const LATENCY_TIMER = 0x0d;
export const HEADER_TYPE = 0x0e;
export const BIST = 0x0f;
export const BAR0 = 0x10;
export const ROM_BAR = 0x30;
export const CAPABILITY_POINTER = 0x34;
export const INTERRUPT_LINE = 0x3c;
export const INTERRUPT_PIN = 0x3d;

export const COMMAND_IO = 0x1;
export const COMMAND_MEMORY = 0x2;
export const COMMAND_MASTER = 0x4;
export const COMMAND_SERR = 0x100;
export const COMMAND_INTX_DISABLE = 0x400;
export const STATUS_INTERRUPT = 0x08;
export const STATUS_CAPABILITY_LIST = 0x10;

export const BAR_IO = 0x1;
export const BAR_64 = 0x4;
export const BAR_PREFETCHABLE = 0x8;

/** Capability ids. */
export const CAP_PM = 0x01;
export const CAP_AGP = 0x02;
export const CAP_VPD = 0x03;
export const CAP_MSI = 0x05;
export const CAP_PCIX = 0x07;
export const CAP_HT = 0x08;
export const CAP_VENDOR = 0x09;
export const CAP_EXPRESS = 0x10;
export const CAP_MSIX = 0x11;
export const CAP_SATA = 0x12;
export const CAP_AF = 0x13;

export const PM_CAPABILITIES = 2;
export const PM_CONTROL = 4;
export const PM_CAP_D1 = 0x0200;
export const PM_CAP_D2 = 0x0400;
export const PM_CAP_PME = 0xf800;
export const PM_STATE = 0x3;
export const PM_NO_SOFT_RESET = 0x8;
export const PM_PME_ENABLE = 0x100;
export const PM_PME_STATUS = 0x8000;
export const D3HOT = 3;

export const MSI_CONTROL = 2;
export const MSI_ENABLE = 0x1;
/** log2 of the vectors that the function asks for, and of those that were granted. */
export const MSI_ASKED = 0x0e;
export const MSI_GRANTED = 0x70;
export const MSI_64 = 0x80;
export const MSI_MASKABLE = 0x100;

export const MSIX_CONTROL = 2;
export const MSIX_TABLE = 4;
export const MSIX_PBA = 8;
export const MSIX_LAST = 0x7ff;
export const MSIX_ENABLE = 0x8000;
export const MSIX_BAR = 0x7;
export const MSIX_ENTRY_SIZE = 16;

export const EXPRESS_FLAGS = 2;
export const EXPRESS_DEVICE_CAP = 4;
export const EXPRESS_DEVICE_CONTROL = 8;
export const EXPRESS_DEVICE_CONTROL2 = 0x28;
export const EXPRESS_ATOMIC_REQUESTS = 0x40;
export const EXPRESS_CAP_FLR = 0x10000000;
export const EXPRESS_FLR = 0x8000;
export const EXPRESS_PAYLOAD = 0x00e0;
export const EXPRESS_READ_REQUEST = 0x7000;
export const EXPRESS_PHANTOM = 0x0200;
export const EXPRESS_ARI = 0x0020;

export const AF_CAPABILITIES = 3;
export const AF_CONTROL = 4;
export const AF_CAP_TP_FLR = 0x3;
export const AF_FLR = 0x1;

/** Ids of extended capabilities. */
export const EXTENDED_ATS = 0x0f;

/** Where Intel graphics say that their OpRegion is. */
export const IGD_OPREGION = 0xfc;
