/** A client's link to a host on NATS, in real time. */
import { Link } from '@vfiolab/client';
import { clientAddress } from '@vfiolab/core';
import type { NatsBus } from '@vfiolab/shell';

export interface OpenLink {
  readonly link: Link;
  /** Hears and repeats nothing any more. */
  close(): void;
}

const TICK_MS = 20;

export function openLink(bus: NatsBus, name: string): OpenLink {
  const address = clientAddress(name);
  const link = new Link({ now: Date.now, sleep, send: (to, frame) => bus.send(address, to, frame) });
  const detach = bus.attach(address, (from, frame) => link.receive(from, frame));
  const timer = setInterval(() => link.tick(), TICK_MS);
  timer.unref();
  return {
    link,
    close: () => {
      clearInterval(timer);
      detach();
    },
  };
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
