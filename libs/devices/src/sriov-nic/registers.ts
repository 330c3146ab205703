/**
 * Registers of the SR-IOV network card beside those of a controller: a block from `BLOCK` on, another one in the PF and in VFs.
 *
 * Words: a *mailbox* holds one message of four words each way between the PF and a VF; it is free when the other side has taken
 * the message. A *row* is what the PF has for each VF, `ROW_BYTES` apart.
 */
export const BLOCK = 0x10000;
/** VFs that a PF has registers for. */
export const MAX_VFS = 64;
export const MAILBOX_WORDS = 4;

/** The PF: bit 0 switches the embedded switch on; without it VFs have no link. */
export const SWITCH_CONTROL = BLOCK;
export const SWITCH_ON = 1;
/** How many VFs there are. */
export const VFS = BLOCK + 0x04;
/** Frames that the switch has dropped; reading clears. */
export const SWITCH_DROPS = BLOCK + 0x08;
/** Bit n of two registers: VF n has left a message; VF n was reset. Writing ones clears. */
export const MESSAGES = BLOCK + 0x10;
export const RESETS = BLOCK + 0x18;

export const ROWS = BLOCK + 0x100;
export const ROW_BYTES = 0x40;
/** Of a row: the address that the VF is granted (bit 31 of the high one: it is), as receive addresses have it. */
export const ROW_MAC_LOW = 0x00;
export const ROW_MAC_HIGH = 0x04;
/** Bits 0 to 11: the VLAN that the VF is in, without knowing (bit 31: it is in one). */
export const ROW_VLAN = 0x08;
export const ROW_CONTROL = 0x0c;
export const ROW_STATUS = 0x10;
export const ROW_DOORBELL = 0x14;
export const ROW_OUT = 0x20;
export const ROW_IN = 0x30;

/** Of a row's control: the VF has a link; it may send under any address. */
export const [VF_ENABLED, VF_TRUSTED] = [1, 2];
/** Of a row's status: a driver uses the VF; it has left a message; it has not taken the PF's. */
export const [ACTIVE, MESSAGE, UNTAKEN] = [1, 2, 4];

/** The VF: bits 1 and 2 as in a row's status, of the PF; from bit 8 on its number. */
export const VF_STATUS = BLOCK;
export const VF_DOORBELL = BLOCK + 0x14;
export const VF_OUT = BLOCK + 0x20;
export const VF_IN = BLOCK + 0x30;

/** Of a doorbell: what is in the words to the other side is a message; the other side's message was taken. */
export const [SEND, TAKEN] = [1, 2];

/** The cause of an interrupt: a message, a message that was taken, a VF that was reset or is in use. */
export const MAILBOX_CAUSE = 1 << 18;
export const VALID = 0x8000_0000;
