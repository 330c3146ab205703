/** Devices in one cell of a CSV: `nic*1:250+vf*1:2` is a kind, a count, and units of each; no units: 0. */
import type { Row } from './csv.js';
import { quote } from './input-error.js';
import { LIMITS } from './limits.js';
import type { Item } from './request.js';
import { GPU, type Names } from './shape.js';

/** Of the column `devices`. Throws InputError. */
export function readDevices(row: Row, kinds: Names): Item[] {
  const text = row.text('devices');
  if (text === '') return [];
  const seen = new Set<number>();
  return text.split('+').map((part) => {
    const found = /^([a-z][a-z0-9_-]{0,30})\*(\d{1,3})(?::(\d{1,5}))?$/.exec(part.trim());
    if (!found) throw row.wrong('devices', `${quote(part)} is not KIND*COUNT or KIND*COUNT:UNITS`);
    const [count, units] = [Number(found[2]), Number(found[3] ?? 0)];
    if (count === 0 || count > LIMITS.devices)
      throw row.wrong('devices', `${quote(part)}: from 1 to ${LIMITS.devices} devices`);
    if (units > LIMITS.units) throw row.wrong('devices', `${quote(part)}: at most ${LIMITS.units} units`);
    const kind = kinds.id(found[1]!);
    if (kind >= LIMITS.kinds) throw row.wrong('devices', `${quote(part)}: more than ${LIMITS.kinds} kinds of device`);
    if (kind === GPU) throw row.wrong('devices', 'GPUs have columns of their own');
    if (seen.has(kind)) throw row.wrong('devices', `${quote(found[1]!)} is there twice`);
    seen.add(kind);
    return { kind, count, units };
  });
}
