/**
 * What is out of service, and why: hosts that failed or are drained, devices that are stuck or in quarantine.
 *
 * Rule: reasons are counted, so what has two is back when both are over.
 */
import { DOWN, DRAINED, type Fleet, UP } from './fleet.js';
import type { Scheduler } from './scheduler.js';

export class Outages {
  hostsDown = 0;
  private readonly failures: Uint16Array;
  private readonly drains: Uint16Array;
  /** By the number of a device. */
  private readonly devices = new Map<number, number>();

  constructor(
    private readonly fleet: Fleet,
    private readonly scheduler: Scheduler,
  ) {
    this.failures = new Uint16Array(fleet.count);
    this.drains = new Uint16Array(fleet.count);
  }

  get devicesOut(): number {
    return this.devices.size;
  }

  /** A number for a device of the whole cluster. */
  device(host: number, slot: number): number {
    return host * this.fleet.occupancies.stride + slot;
  }

  fail(host: number, by: 1 | -1): void {
    const before = this.failures[host]!;
    this.failures[host]! += by;
    this.hostsDown += Math.min(1, this.failures[host]!) - Math.min(1, before);
    this.show(host);
  }

  drain(host: number, by: 1 | -1): void {
    this.drains[host]! += by;
    this.show(host);
  }

  setDevice(device: number, by: 1 | -1): void {
    const count = (this.devices.get(device) ?? 0) + by;
    if (count === 0) this.devices.delete(device);
    else this.devices.set(device, count);
    const { stride } = this.fleet.occupancies;
    this.scheduler.setOut(Math.floor(device / stride), device % stride, count > 0);
  }

  /** A host's state is what its reasons make it. */
  show(host: number): void {
    this.fleet.state[host] = this.failures[host]! > 0 ? DOWN : this.drains[host]! > 0 ? DRAINED : UP;
    this.scheduler.touch(host);
  }
}
