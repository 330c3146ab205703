/** Whether a function can be driven, from what its description says. */
import type { FunctionFacts, MdevFacts } from '@vfiolab/core';
import { describedModel } from '@vfiolab/devices';
import { isKernelProfile } from '@vfiolab/uapi';
import * as pci from './pci-registers.js';

const MAX_MINOR = 1 << 20;

/** Why a function cannot be driven, in words; undefined when it can. */
export function whatIsWrong(facts: FunctionFacts): string | undefined {
  const { config, bars } = facts;
  if (![0, 64, 256, 4096].includes(config.length)) return `config: ${config.length} bytes; give 0, 64, 256 or 4096`;
  if ((config[pci.HEADER_TYPE] ?? 0) & 0x7f)
    return 'config: header type is not 0; only endpoints can be passed through';
  if (!isKernelProfile(facts.profile)) return `profile: there is no '${facts.profile}'`;
  if (facts.minor >= MAX_MINOR) return `minor: ${facts.minor} is not below ${MAX_MINOR}`;
  const used = new Set<number>();
  for (const bar of bars) {
    const power = Number.isInteger(Math.log2(bar.size)) && bar.size >= 4;
    if (!power) return `bar ${bar.index}: size ${bar.size} is not a power of two of at least 4`;
    if (bar.index > 6) return `bar ${bar.index}: there are BARs 0 to 5, and 6 is the expansion ROM`;
    if (bar.wide && (bar.io || bar.index > 4)) return `bar ${bar.index}: cannot be 64 bits wide`;
    for (const index of bar.wide ? [bar.index, bar.index + 1] : [bar.index]) {
      if (used.has(index)) return `bar ${index}: given twice`;
      used.add(index);
    }
  }
  if (!describedModel(facts.model)) return `model: there is no '${facts.model}'`;
  return undefined;
}

/** The same of a mediated device. */
export function whatIsWrongWithMdev({ ports, profile, minor }: MdevFacts): string | undefined {
  if (ports > 2) return `ports: ${ports}; a serial card has 1 or 2, a memory card none`;
  if (!isKernelProfile(profile)) return `profile: there is no '${profile}'`;
  return minor >= MAX_MINOR ? `minor: ${minor} is not below ${MAX_MINOR}` : undefined;
}
