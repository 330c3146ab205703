/**
 * Files of a function's directory that tools such as lspci read, beyond those that programs of VFIO need.
 *
 * Rule: the config space of a function that a vfio driver has is what its actor has; of any other it is what the machine's
 * description says.
 */
import { call, deviceAddress, deviceApi, type Op } from '@vfiolab/core';
import { configImage } from '@vfiolab/pci';
import type { Device } from './host.js';
import { idsOf } from './drivers.js';
import { type BinaryNode, type Node, text } from './nodes.js';

const INTERRUPT_LINE = 0x3c;
/** No line is connected. */
const NO_LINE = 0xff;

export const toolFiles = (device: Device): Record<string, () => Node> => ({
  config: () => configFile(device),
  irq: () => text(() => String(lineOf(device))),
  modalias: () => text(() => modalias(device)),
});

const configFile = (device: Device): BinaryNode => ({ kind: 'binary', show: () => configOf(device) });

function* configOf({ bdf, facts, vfio }: Device): Op<Uint8Array> {
  const driven = vfio ? yield* call(deviceAddress(bdf), deviceApi.configSpace, undefined) : new Uint8Array(0);
  return driven.length > 0 ? driven : configImage(facts);
}

function lineOf({ facts }: Device): number {
  const line = facts.config?.[INTERRUPT_LINE] ?? 0;
  return line === NO_LINE ? 0 : line;
}

/** `pci:v00008086d...`: what module loaders match. */
export function modalias({ facts }: Device): string {
  const ids = idsOf(facts);
  const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');
  const byte = (shift: number): string => hex((ids.class >>> shift) & 0xff, 2);
  return (
    `pci:v${hex(ids.vendor, 8)}d${hex(ids.device, 8)}sv${hex(ids.subvendor, 8)}sd${hex(ids.subdevice, 8)}` +
    `bc${byte(16)}sc${byte(8)}i${byte(0)}`
  );
}
