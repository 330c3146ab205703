/**
 * Status of a command: status code type << 8 | status code, as the completion has it from bit 1 on (section 4.6.1).
 */
export const SUCCESS = 0x000;
export const INVALID_OPCODE = 0x001;
export const INVALID_FIELD = 0x002;
export const DATA_TRANSFER_ERROR = 0x004;
export const INVALID_NAMESPACE = 0x00b;
export const COMMAND_SEQUENCE_ERROR = 0x00c;
export const PRP_OFFSET_INVALID = 0x013;
export const LBA_OUT_OF_RANGE = 0x080;
export const COMPLETION_QUEUE_INVALID = 0x100;
export const QUEUE_ID_INVALID = 0x101;
export const QUEUE_SIZE_INVALID = 0x102;
export const ASYNC_EVENT_LIMIT = 0x105;
export const INVALID_VECTOR = 0x108;
export const INVALID_LOG_PAGE = 0x109;
export const INVALID_QUEUE_DELETION = 0x10c;
export const FEATURE_NOT_SAVEABLE = 0x10d;
export const INVALID_CONTROLLER = 0x11f;
export const INVALID_CONTROLLER_STATE = 0x120;
export const INVALID_RESOURCE_COUNT = 0x121;
export const INVALID_RESOURCE = 0x122;
