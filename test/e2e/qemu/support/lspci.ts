/**
 * What lspci says of a function: in a guest, and of a config space that the lab gives.
 *
 * Rule: only what a guest's firmware and kernel decide for themselves is left out: where BARs are, which interrupt line, what
 * is enabled, and what its kernel knows beside the config space.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Lines about what the guest decides. */
const GUESTS =
  /^(Control|Status|Interrupt|Region|Expansion ROM|Kernel|Latency|NUMA|IOMMU|Physical Slot|lspci|Address)\b/;
/** Settings that the guest's kernel and firmware make in capabilities. */
const SETTINGS =
  /^(DevCtl|DevSta|LnkCtl|LnkSta|DevCtl2|LnkCtl2|LnkSta2|RootCtl|AtomicOpsCtl|MaxPayload|Ctrl|UE|CE|AERCap)\b/;

export const description = (lspci: string): string[] =>
  lspci
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^[\da-f]{2,3}: /.test(line) && !GUESTS.test(line) && !SETTINGS.test(line))
    .map((line) => line.replace(/Enable[+-]/, 'Enable?').replace(/Status: D\d/, 'Status: D?'));

/** The first line without the address: class, ids, revision. */
export const headline = (lspci: string): string => lspci.split('\n', 1)[0]!.replace(/^\S+ /, '');

/** lspci's own reading of a config space; as in the guest, there is no file with names. */
export function readConfig(config: Uint8Array): string {
  const dir = mkdtempSync(join(tmpdir(), 'vfiolab-lspci-'));
  try {
    const rows = Array.from({ length: config.length / 16 }, (_, i) => {
      const bytes = [...config.subarray(16 * i, 16 * i + 16)].map((b) => b.toString(16).padStart(2, '0'));
      return `${(16 * i).toString(16).padStart(2, '0')}: ${bytes.join(' ')}`;
    });
    const file = join(dir, 'config');
    writeFileSync(file, `01:00.0 Class\n${rows.join('\n')}\n\n`);
    return execFileSync('lspci', ['-i', '/dev/null', '-F', file, '-nnvv'], { encoding: 'utf8' });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
