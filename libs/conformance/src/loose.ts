/**
 * Where an answer of the lab may differ from the recorded one, and why. Everything else is compared exactly.
 *
 * Rule: a rule here names what it lets through; nothing is let through silently anywhere else.
 */
import { CONFIG_REGION, isLeftover } from './leftover-config.js';
import { same } from './same.js';
import type { Json, JsonObject, ResultKey, Step, Trace } from './trace.js';

export interface LooseRule {
  readonly name: string;
  readonly reason: string;
  /** May this result of this step be what the lab gave? Asked only when the two differ. */
  applies(trace: Trace, step: Step, key: ResultKey, got: Json | undefined): boolean;
}

/** The byte of config space that names the interrupt line. */
const INTERRUPT_LINE = 0x3c;

const readsInterruptLine = (step: Step): boolean => {
  const [offset, length] = [Number(step['off']) - CONFIG_REGION, Number(step['len'])];
  return step.op === 'pread' && offset <= INTERRUPT_LINE && offset + length > INTERRUPT_LINE;
};

const isMdevGroup = (step: Step): boolean =>
  step.op === 'readlink' && /^\/sys\/bus\/mdev\/devices\/[^/]+\/iommu_group$/.test(String(step['path']));

const sameButNumber = (a: Json | undefined, b: Json | undefined): boolean =>
  String(a).replace(/[0-9]+$/, '') === String(b).replace(/[0-9]+$/, '');

/** Machines of the recordings. */
const isArm = (machine: string): boolean => /smmuv3|arm64/.test(machine);
const isPower = (machine: string): boolean => machine.startsWith('P-');

export const LOOSE_RULES: readonly LooseRule[] = [
  {
    name: 'kernel log',
    reason: 'the kernel limits the rate of its log lines, and the lab has no kernel log',
    applies: (_trace, step) => step.op === 'klog',
  },
  {
    name: 'nondeterministic step',
    reason: 'two recordings of this step on one machine differed',
    applies: (trace, step) => trace.nondeterministic.has(step.i),
  },
  {
    name: 'interrupt line on Arm',
    reason: 'config byte 0x3c is the Linux irq number there, which depends on the order of asynchronous probes',
    applies: (trace, step, key) => key === 'data' && isArm(trace.machine) && readsInterruptLine(step),
  },
  {
    name: 'irq numbers',
    reason: 'sysfs irq and /proc/interrupts count interrupts in the order of asynchronous probes',
    applies: ({ machine }, step) =>
      (isArm(machine) || isPower(machine)) &&
      step.op === 'sysfs_read' &&
      /\/irq$|^\/proc\/interrupts$/.test(String(step['path'])),
  },
  {
    name: 'groups made on the fly',
    reason:
      "the number of a mediated device's group is the lowest one that earlier programs of the recording left free",
    applies: (_trace, step, key, got) => key === 'data' && isMdevGroup(step) && sameButNumber(step['data'], got),
  },
  {
    name: 'leftovers in config space',
    reason:
      'bytes that belong to no register of the header and to no capability keep what earlier programs of the recording wrote; nothing resets them',
    applies: (trace, step, key, got) => key === 'data' && step.op === 'pread' && isLeftover(trace, step, got),
  },
  {
    name: 'leftovers in the buffer of edu',
    reason:
      'edu keeps its DMA buffer through closes and resets; what a program stores that never loaded it is not its own',
    applies: (trace, step, key) =>
      key === 'data' && step.op === 'peek' && storesBuffer(trace, step) && !loadsBuffer(trace, step),
  },
  {
    name: 'interrupt that edu was left with',
    reason:
      'edu keeps an interrupt raised through closes, and enabling INTx signals it at once: a program found what the one before it had not acknowledged',
    applies: (trace, step, key, got) =>
      key === 'data' && isArm(trace.machine) && isFirstRead(trace, step) && isOneMore(step['data'], got),
  },
  {
    name: 'fd of a name that is given again',
    reason:
      'the recording writes an fd by the name that it has at the end of the program, and as "fd" when it has none',
    applies: (trace, step, key, got) => key === 'out' && same(step['out'], namedAtEnd(trace, step, got)),
  },
  {
    name: 'interrupt remapping handles',
    reason:
      'which entries of the table of VT-d were free depends on everything that the host had done since its boot; on 7.2 two recordings differ',
    applies: (_trace, step, key, got) =>
      key === 'data' && step.op === 'peek' && step['width'] === 4 && sameButHandles(step['data'], got),
  },
  {
    name: 'DMA on D-amd-q11',
    reason:
      'in the recordings of this machine the DMA of devices did not reach memory or other devices: where a program looks for what edu stored it finds what was there before',
    applies: (trace, step, key) =>
      key === 'data' &&
      trace.machine === 'D-amd-q11' &&
      step.op === 'peek' &&
      storesBuffer(trace, step) &&
      step['data'] === untouched(trace, step),
  },
];

/** The first look at an eventfd that INTx had been given before the program raised any interrupt of its own. */
function isFirstRead({ steps }: Trace, step: Step): boolean {
  if (step.op !== 'read') return false;
  const raised = steps.findIndex(({ op, addr }) => op === 'poke' && /\+0x60$/.test(String(addr)));
  const given = steps.findIndex(({ req, errno, in: args, tail }) => {
    const { index } = (args ?? {}) as JsonObject;
    const fds = ((tail ?? {}) as JsonObject)['items'];
    const toIntx = req === 'VFIO_DEVICE_SET_IRQS' && errno === undefined && index === 0;
    return toIntx && Array.isArray(fds) && fds.includes(step['fd'] as Json);
  });
  const readBefore = steps.some(({ op, fd, i }) => op === 'read' && fd === step['fd'] && i < step.i);
  return given >= 0 && given < raised && raised < step.i && !readBefore;
}

/** Counters of eventfds as read returns them. */
function isOneMore(expected: Json | undefined, got: Json | undefined): boolean {
  const counts = [expected, got].map((hex) => Buffer.from(String(hex), 'hex'));
  return (
    counts.every(({ length }) => length === 8) && counts[0]!.readBigUInt64LE() === counts[1]!.readBigUInt64LE() + 1n
  );
}

/** Outputs of a step with fds by the names that they have at the end. */
function namedAtEnd(trace: Trace, step: Step, got: Json | undefined): Json | undefined {
  if (typeof got !== 'object' || got === null || Array.isArray(got)) return got;
  const later = trace.steps.slice(step.i + 1).filter(({ errno }) => errno === undefined);
  const boundLater = new Set(later.flatMap(({ bind }) => Object.values((bind ?? {}) as Record<string, string>)));
  const isFd = (name: string, value: Json): boolean =>
    name.endsWith('_fd') && typeof value === 'string' && boundLater.has(value.slice(1));
  return Object.fromEntries(
    Object.entries(got as JsonObject).map(([name, value]) => [name, isFd(name, value) ? 'fd' : value]),
  );
}

/** Bits of a remapped message's address: those that hold the handle, and what the others are. */
const HANDLE_BITS = 0x000f_ffe4;
const REMAPPED = 0xfee0_0018;
const isRemapped = (word: number): boolean => (word & ~HANDLE_BITS) >>> 0 === REMAPPED;

/** Words in hex, of which some hold a remapped message's address and differ in its handle. */
function sameButHandles(expected: Json | undefined, got: Json | undefined): boolean {
  const [a, b] = [expected, got].map((hex) => Buffer.from(String(hex), 'hex'));
  if (a!.length !== b!.length || a!.length % 4 !== 0) return false;
  for (let at = 0; at < a!.length; at += 4) {
    const [word, other] = [a!.readUInt32LE(at), b!.readUInt32LE(at)];
    if (word !== other && !(isRemapped(word) && isRemapped(other))) return false;
  }
  return true;
}

/** Values that the program wrote to edu's DMA command register before a step; on POWER its registers are big-endian. */
const dmaCommands = (trace: Trace, before: Step): number[] =>
  trace.steps
    .slice(0, before.i)
    .filter(({ op, addr }) => op === 'poke' && /\+0x98$/.test(String(addr)))
    .flatMap(({ values }) => (Array.isArray(values) ? (values as Json[]) : []))
    .map((value) => (isPower(trace.machine) ? Number(BigInt(value as string) >> 56n) : Number(value)));

const storesBuffer = (trace: Trace, step: Step): boolean => dmaCommands(trace, step).some((value) => (value & 3) === 3);
const loadsBuffer = (trace: Trace, step: Step): boolean => dmaCommands(trace, step).some((value) => (value & 3) === 1);

/** What a program that looked there before had found, else zeros. */
function untouched(trace: Trace, step: Step): string {
  const same = (each: Step): boolean =>
    each.op === 'peek' && ['addr', 'width', 'count'].every((key) => each[key] === step[key]);
  const before = trace.steps.slice(0, step.i).findLast(same);
  return String(before?.['data'] ?? '00'.repeat(Number(step['width']) * Number(step['count'] ?? 1)));
}

/** The rule by which a result is not compared. */
export const looseRule = (trace: Trace, step: Step, key: ResultKey, got: Json | undefined): LooseRule | undefined =>
  LOOSE_RULES.find((rule) => rule.applies(trace, step, key, got));
