import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type AnyStruct, encode, type Errno, errnos, type IoctlDef, kernelProfiles } from '@vfiolab/uapi';
import { iommufdTable } from './ioctl-table.js';
import { MockBench } from './testing/mock-bench.js';
import { changes, refused } from './testing/refusal.js';

const ROWS = [...iommufdTable.values()];
const AT = 2 ** 47;

/** Raw calls with a struct of so many bytes. */
async function raw(b: MockBench, def: IoctlDef<string, AnyStruct>, size: number, bytes: Uint8Array | undefined) {
  const segments = bytes ? [{ va: AT, writable: true, bytes }] : [];
  if (bytes) new DataView(bytes.buffer).setUint32(0, size, true);
  return changes(b.host, () => b.run(b.p.ioctlAt(b.fd, def.nr, AT, segments)));
}

// The rules of every struct, before a handler sees it (uAPI section 0).
it.each(kernelProfiles)(
  'an argument that is not there, too short or too new is refused by every ioctl of %s',
  async (profile) => {
    const b = await MockBench.boot(profile);
    for (const { ioctl: def } of ROWS) {
      const form = def.forms[profile];
      const least = form?.minSize ?? def.struct.size;
      const known = form?.size ?? def.struct.size;
      const tail = new Uint8Array(known + 8).fill(1, known);
      const expected: [string, Errno, Awaited<ReturnType<typeof raw>>][] = [
        ['no memory', 'EFAULT', await raw(b, def, 0, undefined)],
        ['a size below the minimum', form ? 'EINVAL' : 'ENOTTY', await raw(b, def, least - 1, new Uint8Array(known))],
      ];
      if (form)
        expected.push([
          'memory that ends in the struct',
          'EFAULT',
          await raw(b, def, least, new Uint8Array(least - 4)),
        ]);
      if (form?.tail === 'zero')
        expected.push(['something behind the struct', 'E2BIG', await raw(b, def, known + 8, tail)]);
      for (const [what, errno, answer] of expected)
        expect([def.name, what, answer]).toEqual([def.name, what, refused(errno)]);
    }
  },
);

it('what a later kernel has is ENOTTY on an earlier one, whatever its fields say', async () => {
  for (const profile of kernelProfiles) {
    const b = await MockBench.boot(profile);
    for (const { ioctl: def } of ROWS.filter(({ ioctl }) => !ioctl.forms[profile])) {
      const answer = await raw(b, def, def.struct.size, encode(def.struct, {}));
      expect([def.name, answer]).toEqual([def.name, refused('ENOTTY')]);
    }
  }
});

it('numbers of the native range without an ioctl are ENOTTY when the size can be read', async () => {
  const b = await MockBench.boot('7.3');
  const taken = new Set(ROWS.map(({ ioctl }) => ioctl.nr));
  for (let nr = 0x3b80; nr <= 0x3ba0; nr++) {
    if (taken.has(nr)) continue;
    expect((await b.run(b.p.ioctlAt(b.fd, nr, AT, [{ va: AT, writable: true, bytes: new Uint8Array(8) }]))).errno).toBe(
      'ENOTTY',
    );
    expect((await b.run(b.p.ioctlAt(b.fd, nr, AT, []))).errno).toBe('EFAULT');
  }
});

/** Every file of handlers, with its text. */
const SOURCES = ['ioctl', 'compat'].flatMap((folder) =>
  readdirSync(new URL(`${folder}/`, import.meta.url))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
    .map((name) => new URL(`${folder}/${name}`, import.meta.url)),
);
const textOf = (url: URL): string => readFileSync(url, 'utf8');

describe.each(ROWS.map((row) => [row.ioctl.name, row.execute.name] as const))('%s', (name, handler) => {
  const declaration = new RegExp(`(?:/\\*\\*((?:[^*]|\\*(?!/))*)\\*/\\n)?export function\\*? ${handler}\\(`);
  const source = SOURCES.find((url) => declaration.test(textOf(url)));
  const spec = source && new URL(source.href.replace(/\.ts$/, '.spec.ts'));

  it('has a spec beside its handler, which uses it', () => {
    expect(source).toBeDefined();
    expect(existsSync(spec!)).toBe(true);
    // Whoever looks for the name finds both.
    for (const url of [source!, spec!]) expect(textOf(url)).toMatch(new RegExp(`\\b${name}\\b`));
  });

  it('says its errnos, and its spec meets each', () => {
    const told = declaration.exec(textOf(source!))?.[1] ?? '';
    const documented = errnos.filter((errno) => new RegExp(`\\b${errno}\\b`).test(told));
    expect(documented).not.toEqual([]);
    const tests = textOf(spec!);
    expect(documented.filter((errno) => !tests.includes(`'${errno}'`))).toEqual([]);
  });
});
