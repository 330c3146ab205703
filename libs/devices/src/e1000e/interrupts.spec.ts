import { CardRig, CMD, FACTS, frameOf, MAC } from '../testing/card-rig.js';
import { E1000e } from './e1000e.js';
import {
  FEW_DESCRIPTORS,
  LINK_CHANGED,
  OTHER,
  OVERRUN,
  RECEIVE_QUEUE,
  RECEIVED,
  SEND_QUEUE_EMPTY,
  SENT,
  TRANSMIT_QUEUE,
} from './interrupts.js';
import * as reg from './registers.js';

const ASSERTED = 0x8000_0000;
const rigged = (kind: 'pin' | 'msi' | 'msix') => {
  const rig = new CardRig((bus) => new E1000e(bus, FACTS));
  rig.bus.interrupts = kind;
  return rig.start();
};
/** Vector 0: receiving, 1: sending, 2: the rest. */
const IVAR = 0x8 | (0x9 << 8) | (0xa << 16);
const all = RECEIVE_QUEUE | TRANSMIT_QUEUE | OTHER;

it('each cause has its bit: receiving, sending, the rest', () => {
  const rig = rigged('pin');
  rig.arrives(frameOf(MAC, 64));
  expect(rig.read(reg.ICR)).toBe(RECEIVED | RECEIVE_QUEUE);
  rig.data(frameOf(MAC, 64), CMD.end | CMD.report);
  rig.ring();
  expect(rig.read(reg.ICR)).toBe(SENT | SEND_QUEUE_EMPTY | TRANSMIT_QUEUE);
  rig.write(reg.ICS, LINK_CHANGED | OVERRUN);
  expect(rig.read(reg.ICR)).toBe(LINK_CHANGED | OVERRUN | OTHER);
});

it('the line is up while something enabled is pending', () => {
  const rig = rigged('pin');
  rig.write(reg.ICS, LINK_CHANGED);
  expect(rig.bus.raised).toEqual([]);
  rig.write(reg.IMS, LINK_CHANGED | RECEIVED);
  expect([rig.bus.raised, rig.read(reg.IMS)]).toEqual([[0], LINK_CHANGED | RECEIVED]);
  const lowered = rig.bus.lowered;
  rig.write(reg.IMC, RECEIVED);
  expect(rig.bus.lowered).toBe(lowered);
  rig.write(reg.IMC, LINK_CHANGED);
  expect([rig.bus.lowered, rig.read(reg.IMC)]).toEqual([lowered + 1, 0]);
  rig.write(reg.IMS, LINK_CHANGED);
  expect(rig.bus.raised).toEqual([0, 0]);
  rig.write(reg.ICR, LINK_CHANGED);
  expect(rig.bus.lowered).toBe(lowered + 2);
});

it.each([
  ['nothing is enabled', 0, LINK_CHANGED | OTHER, 0],
  ['an interrupt is asserted', LINK_CHANGED, ASSERTED + (LINK_CHANGED | OTHER), 0],
  ['something else is enabled', RECEIVED, LINK_CHANGED | OTHER, LINK_CHANGED | OTHER],
])('reading the causes where %s', (_when, enabled, first, second) => {
  const rig = rigged('msi');
  rig.write(reg.IMS, enabled);
  rig.write(reg.ICS, LINK_CHANGED);
  expect([rig.read(reg.ICR), rig.read(reg.ICR)]).toEqual([first, second]);
});

it('writing the causes clears them; those without a queue go together', () => {
  const rig = rigged('msi');
  rig.write(reg.ICS, LINK_CHANGED | OVERRUN | RECEIVED | FEW_DESCRIPTORS);
  rig.write(reg.ICR, RECEIVED);
  rig.write(reg.IMS, 1);
  expect(rig.read(reg.ICR)).toBe(LINK_CHANGED | OVERRUN | OTHER | FEW_DESCRIPTORS);
  rig.write(reg.ICR, OTHER);
  expect(rig.read(reg.ICR)).toBe(FEW_DESCRIPTORS);
});

it('a driver that wants it has its mask cleared by asking for the causes of an interrupt', () => {
  const rig = rigged('msi');
  rig.write(reg.CTRL_EXT, reg.CTRL_EXT_IAME);
  rig.write(reg.IAM, RECEIVED);
  rig.write(reg.IMS, RECEIVED | LINK_CHANGED);
  rig.read(reg.ICR);
  expect(rig.read(reg.IMS)).toBe(RECEIVED | LINK_CHANGED);
  rig.write(reg.ICS, LINK_CHANGED);
  rig.read(reg.ICR);
  expect(rig.read(reg.IMS)).toBe(LINK_CHANGED);
});

it('one message for what is pending, and the next when there is more or it was taken', () => {
  const rig = rigged('msi');
  rig.write(reg.IMS, RECEIVED | LINK_CHANGED);
  rig.write(reg.ICS, RECEIVED);
  rig.write(reg.ICS, RECEIVED);
  expect(rig.bus.raised).toEqual([0]);
  rig.write(reg.ICS, LINK_CHANGED);
  expect(rig.bus.raised).toEqual([0, 0]);
  rig.read(reg.ICR);
  rig.write(reg.ICS, RECEIVED);
  expect(rig.bus.raised).toEqual([0, 0, 0]);
});

it('each source has the vector that the driver gave it, or none', () => {
  const rig = rigged('msix');
  rig.write(reg.IVAR, IVAR);
  rig.write(reg.IMS, all | (RECEIVE_QUEUE << 1));
  rig.write(reg.ICS, TRANSMIT_QUEUE);
  rig.write(reg.ICS, LINK_CHANGED);
  rig.write(reg.ICS, RECEIVE_QUEUE);
  rig.write(reg.ICS, RECEIVE_QUEUE << 1);
  expect(rig.bus.raised).toEqual([1, 2, 0]);
  rig.write(reg.IVAR, IVAR | (0xf << 4));
  rig.write(reg.ICS, RECEIVE_QUEUE << 1);
  expect(rig.bus.raised).toEqual([1, 2, 0]);
  rig.write(reg.IVAR, IVAR | (0xc << 4));
  rig.write(reg.ICS, RECEIVE_QUEUE << 1);
  expect(rig.bus.raised).toEqual([1, 2, 0, 4]);
});

it.each([
  ['clears its cause and the mask', 0, 0, OTHER],
  ['clears its cause alone, where the driver masks by asking', reg.CTRL_EXT_IAME, 0, OTHER | RECEIVE_QUEUE],
  [
    'clears its cause and what the driver masks for messages',
    reg.CTRL_EXT_EIAME | reg.CTRL_EXT_IAME,
    RECEIVE_QUEUE,
    OTHER,
  ],
])('a message of a source that clears itself %s', (_what, control, masked, enabled) => {
  const rig = rigged('msix');
  rig.write(reg.IVAR, IVAR);
  rig.write(reg.EIAC, RECEIVE_QUEUE);
  rig.write(reg.CTRL_EXT, control);
  rig.write(reg.IAM, masked);
  rig.write(reg.IMS, RECEIVE_QUEUE | OTHER);
  rig.write(reg.ICS, RECEIVE_QUEUE);
  expect([rig.bus.raised, rig.read(reg.IMS)]).toEqual([[0], enabled]);
  rig.write(reg.IMS, RECEIVE_QUEUE);
  expect(rig.bus.raised).toEqual([0]);
  rig.write(reg.ICS, RECEIVE_QUEUE);
  expect(rig.bus.raised).toEqual([0, 0]);
});

it.each([
  ['msi', reg.ITR, RECEIVED, 0],
  ['msix', reg.EITR, RECEIVE_QUEUE, 0],
] as const)('a throttle of whole milliseconds keeps messages apart (%s)', (kind, throttle, cause, vector) => {
  const rig = rigged(kind);
  rig.write(reg.IVAR, IVAR);
  rig.write(reg.EIAC, all);
  rig.write(reg.IMS, cause);
  rig.write(throttle, 3906);
  rig.write(reg.ICS, cause);
  expect([rig.bus.raised, rig.bus.planned.length]).toEqual([[vector], 0]);
  rig.write(throttle, 3907 * 2);
  rig.read(reg.ICR);
  rig.write(reg.IMS, cause);
  rig.write(reg.ICS, cause);
  rig.read(reg.ICR);
  rig.write(reg.IMS, cause);
  rig.write(reg.ICS, cause);
  expect(rig.bus.raised).toEqual([vector, vector]);
  expect(rig.bus.pass()).toBe(2);
  expect(rig.bus.raised).toEqual([vector, vector, vector]);
});

it('what waits for its throttle is forgotten with the function’s reset', () => {
  const rig = rigged('msi');
  rig.write(reg.IMS, RECEIVED);
  rig.write(reg.ITR, 0xffff);
  rig.write(reg.ICS, RECEIVED);
  rig.card.reset();
  rig.write(reg.IMS, RECEIVED);
  rig.write(reg.ICS, RECEIVED);
  expect(rig.bus.raised).toEqual([0, 0]);
});

it('a card that falls silent while a vector is quiet tells of what comes afterwards', () => {
  const rig = rigged('msi');
  rig.write(reg.IMS, RECEIVED);
  rig.write(reg.ITR, 0xffff);
  rig.write(reg.ICS, RECEIVED);
  rig.bus.planned.shift()!.dropped();
  rig.read(reg.ICR);
  rig.write(reg.ICS, RECEIVED);
  expect(rig.bus.raised).toEqual([0, 0]);
});
