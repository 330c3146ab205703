/** Actions on the lab itself: a look at faults, a fault of a device, check, note. None is a system call. */
import { deviceAddress, faultOf, IOMMU, iommuApi, LAB, labApi } from '@vfiolab/core';
import { type Actions, type Answer, type Call, success } from './action.js';
import type { Environment } from '../environment.js';
import { OPERATOR } from '../operator.js';
import type { Num } from '../scenario.js';
import { hex, suggestion } from '../words.js';

/** `device:0000:41:00.0.registers` and `pages.pins`: the service is all before the last dot. */
export function splitFigure(figure: string): { service: string; name: string } {
  const dot = figure.lastIndexOf('.');
  return { service: figure.slice(0, Math.max(dot, 0)), name: figure.slice(dot + 1) };
}

export const addressOf = (service: string): string =>
  service.startsWith('device:') ? deviceAddress(service.slice('device:'.length)) : service;

/** A figure's value, or why there is none. */
async function figureOf(environment: Environment, figure: string): Promise<bigint | string> {
  const { service, name } = splitFigure(figure);
  const { figures } = await environment.inspect(addressOf(service));
  const value = figures[name];
  return value === undefined
    ? `no such figure of ${service}. ${suggestion(name, Object.keys(figures))}`
    : BigInt(value);
}

async function brokenInvariants(environment: Environment): Promise<string[]> {
  const broken: string[] = [];
  for (const address of [...(await environment.actors())].sort())
    for (const each of (await environment.inspect(address)).broken) broken.push(`${address}: ${each}`);
  return broken;
}

async function check(environment: Environment, names: readonly string[]): Promise<Answer> {
  const figures: Record<string, bigint | string> = {};
  for (const name of names) figures[name] = await figureOf(environment, name);
  const broken = await brokenInvariants(environment);
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${value}`);
  const invariants = broken.length === 0 ? 'hold' : broken.join('; ');
  return success([...shown, `invariants ${invariants}`].join(', '), { figures, invariants });
}

const shown = (call: Call, value: Num | boolean): string =>
  typeof value === 'boolean' ? String(value) : String(call.num(value));

export const inspectionActions = {
  faults: {
    facts: ['faults'],
    calls: true,
    words: (_call, { device }) => `IOMMU event log of ${device}`,
    run: async (call, { device }) => {
      const records = await call.process.link.call(IOMMU, iommuApi.faults, { bdf: device });
      const faults = records.map(({ iova, write, reason }) => ({ iova, write, reason }));
      const lines = faults.map(({ iova, write, reason }) => `${write ? 'write' : 'read'} at ${hex(iova)}: ${reason}`);
      return success(lines.length === 0 ? 'no faults' : lines.join('; '), { faults });
    },
  },
  fault: {
    facts: ['refused'],
    calls: true,
    words: (call, { device, kind, ...parameters }) => {
      const given = Object.entries(parameters).map(([name, value]) => `${name}=${shown(call, value)}`);
      return `fault of ${device}: ${[kind, ...given].join(' ')}`;
    },
    run: async (call, { device, kind, write, ...numbers }) => {
      const value = (name: keyof typeof numbers): number | undefined =>
        numbers[name] === undefined ? undefined : call.int(numbers[name]);
      const times = { ms: value('ms'), count: value('count'), every: value('every'), delay: value('delay') };
      const iova = numbers.iova === undefined ? undefined : call.num(numbers.iova);
      const where = { vector: value('vector'), iova, bytes: value('bytes'), write, pasid: value('pasid') };
      const operator = call.environment.link(OPERATOR);
      const { error } = await operator.call(LAB, labApi.fault, faultOf(device, kind, { ...times, ...where }));
      return success(error === '' ? 'done' : error, { refused: error });
    },
    implied: () => ({ refused: '' }),
  },
  check: {
    facts: ['figures', 'invariants'],
    calls: false,
    words: () => 'look into the services',
    run: (call, { figures = {} }) => check(call.environment, Object.keys(figures)),
    implied: ({ figures = {}, invariants }) => ({ figures, ...(invariants && { invariants }) }),
  },
  note: {
    facts: [],
    calls: false,
    words: (_call, text) => text,
    run: () => Promise.resolve(success('')),
  },
} satisfies Partial<Actions>;
