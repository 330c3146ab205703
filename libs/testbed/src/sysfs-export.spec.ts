import { existsSync, lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Process } from '@vfiolab/client';
import type { SysfsEntry } from '@vfiolab/core';
import { ok } from '@vfiolab/uapi';
import { SysfsExport, sysfsTarget } from './sysfs-export.js';

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'vfiolab-export-'))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const file = (name: string, text: string): SysfsEntry => ({ name, kind: 'file', data: bytes(text) });
const link = (name: string, to: string): SysfsEntry => ({ name, kind: 'link', data: bytes(to) });
const folder = (name: string): SysfsEntry => ({ name, kind: 'dir', data: bytes('') });

/** A host whose /sys is this table of directories. */
function host(table: Record<string, SysfsEntry[]>): Process {
  const sysfsScan = (path: string) =>
    Promise.resolve(table[path] ? ok(table[path]) : ({ ok: false, errno: 'ENOENT' } as const));
  return { sysfsScan } as unknown as Process;
}

it('what changed is written, what went is removed, and a link that became a folder is one', async () => {
  const table: Record<string, SysfsEntry[]> = {
    '/sys/bus': [folder('pci'), file('plain', 'a\n')],
    '/sys/bus/pci': [link('driver', '../nvidia'), file('gone', 'x\n'), folder('old')],
    '/sys/bus/pci/old': [file('inner', 'y\n')],
  };
  const out = join(dir, 'tree');
  const made = new SysfsExport(host(table), out);
  made.begin();
  expect(await made.update()).toEqual({ entries: 7, changed: 7 });
  expect(await made.update()).toEqual({ entries: 7, changed: 0 });
  table['/sys/bus/pci'] = [link('driver', '../vfio-pci'), link('old', '../plain')];
  await made.update();
  expect(readlinkSync(join(out, 'bus/pci/driver'))).toBe('../vfio-pci');
  expect(existsSync(join(out, 'sys/bus/pci/gone'))).toBe(false);
  expect(lstatSync(join(out, 'sys/bus/pci/old')).isSymbolicLink()).toBe(true);
  expect(readFileSync(join(out, 'sys/bus/plain'), 'utf8')).toBe('a\n');
});

it('a name that would lead out of the folder is left out', async () => {
  const table = { '/sys/bus': [file('../../escaped', 'x'), file('..', 'x'), file('', 'x'), file('kept', 'x')] };
  const made = new SysfsExport(host(table), join(dir, 'tree'));
  made.begin();
  expect((await made.update()).entries).toBe(2);
  expect(existsSync(join(dir, 'escaped'))).toBe(false);
});

it('a folder with anything else in it is refused and stays; an earlier export is replaced', () => {
  const out = join(dir, 'tree');
  const made = new SysfsExport(host({}), out);
  made.begin();
  writeFileSync(join(out, 'sys', 'left'), 'x');
  expect(sysfsTarget(out)).toBeUndefined();
  made.begin();
  expect(existsSync(join(out, 'sys', 'left'))).toBe(false);
  writeFileSync(join(dir, 'mine'), 'x');
  expect(sysfsTarget(dir)).toMatch(/is not empty/);
  expect(() => new SysfsExport(host({}), dir).begin()).toThrow(/is not empty/);
  expect(sysfsTarget(join(dir, 'mine'))).toMatch(/is no folder/);
  expect(readFileSync(join(dir, 'mine'), 'utf8')).toBe('x');
});

it('a tree without end is refused', async () => {
  const endless = {
    sysfsScan: () => Promise.resolve(ok(Array.from({ length: 100_001 }, (_, i) => file(`f${i}`, '')))),
  } as unknown as Process;
  const made = new SysfsExport(endless, join(dir, 'tree'));
  made.begin();
  await expect(made.update()).rejects.toThrow('more than 200000 entries');
});
