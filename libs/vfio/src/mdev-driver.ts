/** Which driver a mediated device has: one without ports is a memory card, the others are serial cards. */
import type { MdevFacts } from '@vfiolab/core';
import type { Driver } from './common-device.js';
import { MemoryCard } from './mdma/memory-card.js';
import { MemoryDriver } from './mdma/memory-driver.js';
import { SerialCard } from './mtty/serial-card.js';
import { SerialDriver } from './mtty/serial-driver.js';

type MdevDriver = SerialDriver | MemoryDriver;

export const mdevDriver = (facts: MdevFacts): MdevDriver =>
  facts.ports === 0 ? new MemoryDriver(new MemoryCard(facts)) : new SerialDriver(new SerialCard(facts));

export const isMdevDriver = (driver: Driver): driver is MdevDriver =>
  driver instanceof SerialDriver || driver instanceof MemoryDriver;
