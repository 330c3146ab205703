/**
 * Functions of s390: what VFIO_DEVICE_GET_INFO tells of them besides PCI, and their errors. [vfio_pci_zdev.c, pci_event.c]
 *
 * Words: a *CCDF* is the firmware's record of one error.
 * Rule: numbers of functions follow from their addresses; what is the same for all of them stands here.
 */
import { type ByteReader, type ByteWriter, ZPCI } from '@vfiolab/core';
import {
  type Capability,
  encode,
  VFIO_DEVICE_INFO_CAP_ZPCI_BASE,
  VFIO_DEVICE_INFO_CAP_ZPCI_GROUP,
  VFIO_DEVICE_INFO_CAP_ZPCI_PFIP,
  VFIO_DEVICE_INFO_CAP_ZPCI_UTIL,
  VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH,
  vfio_device_info_cap_zpci_base,
  vfio_device_info_cap_zpci_group,
  vfio_device_info_cap_zpci_pfip,
  vfio_device_info_cap_zpci_util,
  ZPCI_ERROR_BYTES as CCDF_BYTES,
} from '@vfiolab/uapi';

/** Errors that a function keeps until somebody reads them; those beyond are lost. */
export const MAX_ZPCI_ERRORS = 4;
const HEADER = 8;
const UTIL_BYTES = 64;
const PFIP_SEGMENTS = 4;
const ENABLED = 0x8000_0000;
/** Bytes that one store can carry: of stores in blocks, and of all. */
const MAX_STORE = 128;
const [PFT_UNKNOWN, GROUP_ID] = [0, 0x20];
const FMB_BYTES = 64;
/** Interrupts of a function, and milliseconds between updates of its measurements. */
const [MAX_MSI, FMB_UPDATE] = [2048, 4000];
/** A DMA that the tables do not allow. */
const PEC_INVALID_DMA = 0x0003;
/** Bit of the record's fourth word. */
const WRITE = 0x8000_0000;

/** What a function of s390 is called: bus and function, as in its address `dddd:bb:dd.f`. */
function numbersOf(bdf: string): { readonly channel: number; readonly vfn: number; readonly handle: number } {
  const [, bus = '0', slot = '0', fn = '0'] = bdf.split(/[:.]/);
  const channel = parseInt(bus, 16);
  const vfn = (parseInt(slot, 16) << 3) | parseInt(fn, 16);
  return { channel, vfn, handle: (ENABLED | (channel << 8) | vfn) >>> 0 };
}

/** The chain of GET_INFO. `tellsErrors`: the kernel hands out CCDFs. */
export function zpciCapabilities(bdf: string, tellsErrors: boolean): Capability[] {
  const { channel, vfn, handle } = numbersOf(bdf);
  const base = {
    start_dma: ZPCI.startDma,
    end_dma: ZPCI.endDma,
    pchid: channel,
    vfn,
    fmb_length: FMB_BYTES,
    pft: PFT_UNKNOWN,
    gid: GROUP_ID,
    fh: handle,
    ccdf_err_length: tellsErrors ? CCDF_BYTES : 0,
  };
  const group = {
    dasm: ZPCI.endDma,
    msi_addr: ZPCI.msiAddress,
    flags: BigInt(VFIO_DEVICE_INFO_ZPCI_FLAG_REFRESH),
    mui: FMB_UPDATE,
    noi: MAX_MSI,
    maxstbl: MAX_STORE,
    version: 1,
    imaxstbl: MAX_STORE,
  };
  const body = (bytes: Uint8Array): Uint8Array => bytes.slice(HEADER);
  return [
    { id: VFIO_DEVICE_INFO_CAP_ZPCI_BASE, version: 2, body: body(encode(vfio_device_info_cap_zpci_base, base)) },
    { id: VFIO_DEVICE_INFO_CAP_ZPCI_GROUP, version: 2, body: body(encode(vfio_device_info_cap_zpci_group, group)) },
    {
      id: VFIO_DEVICE_INFO_CAP_ZPCI_UTIL,
      version: 1,
      body: body(withTail(encode(vfio_device_info_cap_zpci_util, { size: UTIL_BYTES }), new Uint8Array(UTIL_BYTES))),
    },
    {
      id: VFIO_DEVICE_INFO_CAP_ZPCI_PFIP,
      version: 1,
      body: body(
        withTail(encode(vfio_device_info_cap_zpci_pfip, { size: PFIP_SEGMENTS }), Uint8Array.of(0, 0, channel, vfn)),
      ),
    },
  ];
}

function withTail(head: Uint8Array, tail: Uint8Array): Uint8Array {
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}

/** Errors that nobody has read, oldest first. */
export class ZpciErrors {
  private records: Uint8Array[] = [];

  get count(): number {
    return this.records.length;
  }

  /** A DMA was refused. */
  push(bdf: string, address: bigint, write: boolean): void {
    if (this.records.length === MAX_ZPCI_ERRORS) return;
    const ccdf = new Uint8Array(CCDF_BYTES);
    const view = new DataView(ccdf.buffer);
    const { vfn, handle } = numbersOf(bdf);
    view.setUint32(4, handle, true);
    view.setUint32(8, vfn, true);
    view.setUint32(12, write ? WRITE : 0, true);
    view.setBigUint64(16, address, true);
    view.setUint16(30, PEC_INVALID_DMA, true);
    this.records.push(ccdf);
  }

  /** The oldest, which is gone then. */
  take(): Uint8Array | undefined {
    return this.records.shift();
  }

  clear(): void {
    this.records = [];
  }

  encode(w: ByteWriter): void {
    w.list(this.records, (record) => w.raw(record));
  }

  decode(r: ByteReader): void {
    this.records = r.list(() => r.raw(CCDF_BYTES).slice());
  }
}
