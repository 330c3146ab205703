/**
 * What goes wrong, or is done to hosts, and when: `time,event,node,device,seconds`.
 *
 * | event | |
 * |---|---|
 * | `fail` | the host is gone for `seconds`; what ran there waits again |
 * | `drain` | nobody new comes for `seconds`, and who can migrate does |
 * | `stuck` | the device is of no use for `seconds` |
 * | `reset-failures` | from now on `share` (a further column) of devices given back fail their reset and are in quarantine for `seconds` |
 * | `defragment` | hosts with little on them are emptied by migration |
 *
 * Without `seconds` it lasts to the end.
 */
import { readCsv, type Row } from './csv.js';
import { quote } from './input-error.js';
import type { HostList } from './import-nodes.js';
import { LIMITS } from './limits.js';

export const EVENTS = ['fail', 'drain', 'stuck', 'reset-failures', 'defragment'] as const;
export type EventName = (typeof EVENTS)[number];

export interface ClusterEvent {
  readonly time: number;
  readonly event: EventName;
  /** Index in the host list; -1: none. */
  readonly host: number;
  /** Slot of the host's shape; -1: none. */
  readonly slot: number;
  /** Infinity: to the end. */
  readonly seconds: number;
  /** Of `reset-failures`, from 0 to 1. */
  readonly share: number;
}

/** Seconds from the beginning that a run may last. */
const MOST_SECONDS = 1e12;
const NEEDS_HOST = new Set<EventName>(['fail', 'drain', 'stuck']);

/** Throws InputError with file, line and field. */
export function importEvents(text: string, file: string, hosts: HostList): ClusterEvent[] {
  const indexOf = new Map(hosts.names.map((name, i) => [name, i]));
  const events: ClusterEvent[] = [];
  for (const row of readCsv(text, file, ['time', 'event'])) {
    const event = EVENTS.find((each) => each === row.text('event'));
    if (!event) throw row.wrong('event', `${quote(row.text('event'))} is none of ${EVENTS.join(', ')}`);
    const host = NEEDS_HOST.has(event) ? hostOf(row, indexOf) : -1;
    const slot = event === 'stuck' ? slotOf(row, hosts, host) : -1;
    const seconds = row.whole('seconds', MOST_SECONDS, Number.POSITIVE_INFINITY);
    const share = event === 'reset-failures' ? shareOf(row) : 0;
    events.push({ time: row.whole('time', MOST_SECONDS), event, host, slot, seconds, share });
    if (events.length > LIMITS.rows) throw row.wrong('event', `more than ${LIMITS.rows} events`);
  }
  return events;
}

function hostOf(row: Row, indexOf: ReadonlyMap<string, number>): number {
  const name = row.name('node');
  const host = indexOf.get(name);
  if (host === undefined) throw row.wrong('node', `there is no host ${quote(name)}`);
  return host;
}

function slotOf(row: Row, { shapes, shapeOf }: HostList, host: number): number {
  const name = row.name('device');
  const { slots } = shapes[shapeOf[host]!]!;
  const slot = slots.findIndex((each) => each.name === name);
  if (slot >= 0) return slot;
  throw row.wrong('device', `the host has no ${quote(name)}; it has ${slots.map((each) => each.name).join(', ')}`);
}

function shareOf(row: Row): number {
  const share = Number(row.name('share'));
  if (!(share >= 0 && share <= 1)) throw row.wrong('share', `${quote(row.text('share'))} is no number from 0 to 1`);
  return share;
}
