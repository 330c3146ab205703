/**
 * A machine for faults of devices: a graphics card with its audio function in a hot-plug slot, a DMA engine alone behind a port that
 * has no slot, and one on the root bus that has ATS, page requests and PASIDs.
 *
 * Rule: an operator causes faults; programs see what becomes of them.
 */
import { type DeviceFault, faultOf, LAB, labApi } from '@vfiolab/core';
import type { TestHost } from '@vfiolab/sim';
import { Host } from './passthrough.js';

export const [SLOT, PORT] = ['0000:00:01.0', '0000:00:02.0'];
export const [CARD, AUDIO, ENGINE, RICH] = ['0000:01:00.0', '0000:01:00.1', '0000:02:00.0', '0000:00:03.0'];
export const CARD_MEMORY = 2 ** 28;

const hex = (words: readonly (readonly [at: number, word: number])[], bytes = 256): string => {
  const view = new DataView(new ArrayBuffer(bytes));
  for (const [at, word] of words) view.setUint32(at, word >>> 0, true);
  return Buffer.from(view.buffer).toString('hex');
};

const FLR = 1 << 28;
/** PCI Express of version 2 and this type at 0x40, whose next is at `next`. */
const express = (type: number, next: number, capabilities = 0): [number, number][] => [
  [0x40, ((0x0002 | (type << 4)) << 16) | (next << 8) | 0x10],
  [0x44, capabilities],
];

function port(bdf: string, bus: number, hotPlug: boolean) {
  const slot = hotPlug ? 0x0100_0000 : 0;
  const words: [number, number][] = [
    [0x04, 0x0010_0000],
    [0x0c, 0x0001_0000],
    [0x34, 0x40],
    ...express(4, 0),
    [0x54, 0x40],
  ];
  words[3]![1] |= slot;
  const buses = { primary_bus: 0, secondary_bus: bus, subordinate_bus: bus };
  const ids = { vendor: '0x1b36', device: '0x000c', class: '0x060400' };
  return { bdf, ...ids, header_type: 1, pcie_type: 'root_port', ...buses, config: hex(words) };
}

interface Kind {
  readonly model?: string | undefined;
  readonly type?: number;
  readonly memory?: number;
  /** Of the extended config space. */
  readonly more?: readonly (readonly [number, number])[];
}

/** With function level reset, power management that resets, and one MSI. */
function endpoint(bdf: string, { model, type = 0, memory, more }: Kind) {
  const words: [number, number][] = [
    [0x00, 0x11e81234],
    [0x04, 0x0010_0000],
    [0x08, 0x00ff0010],
    [0x34, 0x40],
    ...express(type, 0x80, FLR),
    [0x80, 0x0080_9005],
    [0x90, 0x0002_0001],
  ];
  const bar = { index: 0, kind: 'mem', bits: 32, prefetchable: false, size: 1 << 20 };
  const second = { index: 4, kind: 'mem', bits: 64, prefetchable: true, size: memory };
  return {
    bdf,
    vendor: '0x1234',
    device: '0x11e8',
    class: '0x00ff00',
    header_type: 0,
    multifunction: bdf === CARD || bdf === AUDIO,
    pcie_type: type === 0 ? 'endpoint' : 'rciep',
    driver: 'vfio-pci',
    bars: memory === undefined ? [bar] : [bar, second],
    config: hex([...words, ...(more ?? [])], more ? 4096 : 256),
    ...(model !== undefined && { model }),
  };
}

const TRANSLATION: [number, number][] = [
  [0x100, 0x1401_000f],
  [0x140, 0x1801_0013],
  [0x180, 0x0001_001b],
  [0x184, (20 << 8) | 6],
];

/** What an operator is answered: empty, or why nothing has happened. */
export async function causeFault(
  host: TestHost,
  device: string,
  kind: string,
  parameters: Partial<DeviceFault> = {},
): Promise<string> {
  return (await host.run(host.env.link('operator').call(LAB, labApi.fault, faultOf(device, kind, parameters)))).error;
}

interface Lab {
  readonly card?: string;
  readonly engine?: string;
  readonly iommu?: string;
  readonly profile?: string;
}

export class FaultLab {
  private constructor(readonly host: Host) {}

  static async boot({ card = 'gpu', engine, ...more }: Lab = {}): Promise<FaultLab> {
    const functions = [
      port(SLOT!, 1, true),
      port(PORT!, 2, false),
      endpoint(RICH!, { type: 9, more: TRANSLATION }),
      endpoint(CARD!, { model: card, memory: CARD_MEMORY }),
      endpoint(AUDIO!, { model: 'gpu-audio' }),
      endpoint(ENGINE!, { model: engine }),
    ];
    const machine = JSON.stringify({ format: 'pci-topology-fixture/1', functions });
    return new FaultLab(await Host.on({ machine, ...more }));
  }

  fault(device: string, kind: string, parameters: Partial<DeviceFault> = {}): Promise<string> {
    return causeFault(this.host.host, device, kind, parameters);
  }

  /** Virtual ms now. */
  get now(): number {
    return this.host.host.host.agenda.now;
  }

  /** What the work answers, and how many whole seconds it took: alarms are late by some ms. */
  async timed<T>(work: () => Promise<T>): Promise<[T, number]> {
    const from = this.now;
    const answer = await work();
    return [answer, Math.floor((this.now - from) / 1000)];
  }

  async ms(work: () => Promise<unknown>): Promise<number> {
    const from = this.now;
    await work();
    return this.now - from;
  }

  pause(ms: number): Promise<void> {
    return this.host.host.run(this.host.host.env.link('pauser').ports.sleep(ms));
  }

  /** Begins a call that may take long; tells what it has answered so far. */
  begin<T>(work: Promise<{ ok: true; value: T } | { ok: false; errno: string }>): () => T | string | undefined {
    let answer: T | string | undefined;
    void work.then((done) => (answer = done.ok ? done.value : done.errno));
    return () => answer;
  }
}
