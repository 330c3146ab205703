/** Files in memory: memfd_create, ftruncate, fallocate, seals, shared mappings, and their bounds. */
import {
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  MAX_FILES_PER_CLIENT,
  MFD_ALLOW_SEALING,
  MFD_EXEC,
  MFD_HUGETLB,
  MFD_NOEXEC_SEAL,
  pagesApi,
  sysApi,
} from '@vfiolab/core';
import { MAX_FILE_BYTES } from './memory-file.js';
import { MAX_MEMORY_FILES } from './memory-files.js';
import { Bench, errnoOf, PAGE, type TestProcess, value } from './testing/harness.js';

const HUGE = 2 << 20;
const bytes = (text: string) => new TextEncoder().encode(text);
const truncate = (p: TestProcess, token: string, length: number) =>
  errnoOf(p.call(pagesApi.ftruncate, { token, length }));
const allocate = (p: TestProcess, token: string, mode: number, offset: number, length: number) =>
  errnoOf(p.call(pagesApi.fallocate, { token, mode, offset, length }));
const seal = (p: TestProcess, token: string, seals: number) => errnoOf(p.call(pagesApi.addSeals, { token, seals }));
const pwrite = (p: TestProcess, token: string, offset: number, text: string) => {
  const written = p.call(sysApi.pwrite, { token, offset, data: bytes(text) });
  return written.ok ? written.value : written.errno;
};
const pread = (p: TestProcess, token: string, offset: number, length: number) =>
  new TextDecoder().decode(value(p.call(sysApi.pread, { token, offset, length })));
const errnoAt = (p: TestProcess, va: number) => errnoOf(p.call(pagesApi.memRead, { va, length: 1 }));
const vm = (frames = 4096) => new Bench(frames).start('vm');

describe('memfd_create', () => {
  it.each([
    ['no flags', 0, 0],
    ['sealing, hugetlb of 2 MiB', MFD_ALLOW_SEALING | MFD_HUGETLB | (21 << 26), 0],
    ['a flag that does not exist', 0x20, 'EINVAL'],
    ['a size without hugetlb', 21 << 26, 'EINVAL'],
    ['a size that x86 has not got', MFD_HUGETLB | (16 << 26), 'EINVAL'],
    ['executable and not', MFD_EXEC | MFD_NOEXEC_SEAL, 'EINVAL'],
  ])('%s', (_what, flags, errno) => {
    expect(errnoOf(vm().call(pagesApi.memfdCreate, { flags }))).toBe(errno);
  });

  it('costs no memory until somebody writes, and nothing stays after the last close', () => {
    const p = vm(8);
    const token = p.memfd(1 << 30);
    expect(p.bench.core.frames.free.available).toBe(8);
    expect(pwrite(p, token, PAGE - 2, 'over')).toBe(4);
    expect(p.bench.core.frames.free.available).toBe(6);
    value(p.call(sysApi.close, { token }));
    expect([p.bench.core.frames.free.available, p.bench.core.files.size]).toEqual([8, 0]);
    expect(errnoOf(p.call(sysApi.close, { token }))).toBe('EBADF');
  });

  it('one too many of a client is EMFILE, one too many of the host ENFILE', () => {
    const bench = new Bench(1);
    const clients = MAX_MEMORY_FILES / MAX_FILES_PER_CLIENT;
    for (let c = 0; c < clients; c++) {
      const p = bench.start(`c${c}`);
      for (let i = 0; i < MAX_FILES_PER_CLIENT; i++) value(bench.quick(p.client, pagesApi.memfdCreate, { flags: 0 }));
      if (c < clients - 1) expect(errnoOf(bench.quick(p.client, pagesApi.memfdCreate, { flags: 0 }))).toBe('EMFILE');
    }
    const late = bench.start('late');
    expect(errnoOf(bench.quick(late.client, pagesApi.memfdCreate, { flags: 0 }))).toBe('ENFILE');
    const anonymous = { va: 0, length: PAGE, prot: 3, pageShift: 12 };
    expect(errnoOf(bench.quick(late.client, pagesApi.mmapShared, anonymous))).toBe('ENFILE');
    expect(bench.core.files.size).toBe(MAX_MEMORY_FILES);
  });
});

describe('ftruncate', () => {
  it.each([
    ['to any length', 12345, 0, 0],
    ['up to the bound', MAX_FILE_BYTES, 0, 0],
    ['beyond it', MAX_FILE_BYTES + 1, 0, 'EFBIG'],
    ['hugetlb: whole pages only', PAGE, MFD_HUGETLB, 'EINVAL'],
    ['hugetlb: a whole page', HUGE, MFD_HUGETLB, 0],
  ])('%s', (_what, length, flags, errno) => {
    const p = vm();
    expect(truncate(p, p.memfd(0, flags), length)).toBe(errno);
  });

  it('a mapping behind the end is SIGBUS, and what was cut off is zero when the file grows again', () => {
    const p = vm();
    const token = p.memfd(2 * PAGE);
    const va = value(p.mapFile(token, 2 * PAGE));
    p.write(va, 'first');
    p.write(va + PAGE, 'second');
    expect(truncate(p, token, 3)).toBe(0);
    expect([p.read(va, 5), errnoAt(p, va + PAGE), p.write(va + PAGE, 'x')]).toEqual(['fir\0\0', 'EIO', 'EIO']);
    expect(truncate(p, token, 0)).toBe(0);
    expect(errnoAt(p, va)).toBe('EIO');
    expect(truncate(p, token, 2 * PAGE)).toBe(0);
    expect([p.read(va, 5), p.read(va + PAGE, 6)]).toEqual(['\0'.repeat(5), '\0'.repeat(6)]);
  });

  it('a file that was opened for reading only: EINVAL', () => {
    const p = vm();
    const token = value(p.call(pagesApi.memfdOpen, { token: p.memfd(PAGE), writable: false }));
    expect([truncate(p, token, 0), pwrite(p, token, 0, 'x'), seal(p, token, 1)]).toEqual(['EINVAL', 'EBADF', 'EPERM']);
  });
});

describe('fallocate', () => {
  const PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  it.each([
    ['an empty range', 0, 0, 0, 'EINVAL'],
    ['a mode that memory has not got', 0x10, 0, PAGE, 'EOPNOTSUPP'],
    ['a hole that would change the size', FALLOC_FL_PUNCH_HOLE, 0, PAGE, 'EOPNOTSUPP'],
    ['more than the host has', 0, 0, 9 * PAGE, 'ENOSPC'],
    ['beyond the longest file', 0, MAX_FILE_BYTES, 1, 'EFBIG'],
    ['frames', 0, 0, 8 * PAGE, 0],
    ['a hole', PUNCH, 0, PAGE, 0],
  ])('%s', (_what, mode, offset, length, errno) => {
    const p = vm(8);
    expect(allocate(p, p.memfd(PAGE), mode, offset, length)).toBe(errno);
  });

  it('lengthens the file, unless it keeps its size', () => {
    const p = vm();
    const token = p.memfd(0);
    allocate(p, token, FALLOC_FL_KEEP_SIZE, 0, 10);
    expect(pread(p, token, 0, PAGE)).toBe('');
    allocate(p, token, 0, 0, 10);
    expect(pread(p, token, 0, PAGE)).toBe('\0'.repeat(10));
  });

  it('a hole in a part of a hugetlb page zeroes it and keeps its frames', () => {
    const p = vm();
    const token = p.memfd(HUGE, MFD_HUGETLB);
    const va = value(p.mapFile(token, HUGE));
    for (const at of [0, PAGE, 5 * PAGE]) p.write(va + at, 'text');
    expect(allocate(p, token, PUNCH, 2, 3 * PAGE)).toBe(0);
    expect([0, PAGE, 5 * PAGE].map((at) => p.read(va + at, 4))).toEqual(['te\0\0', '\0\0\0\0', 'text']);
    expect(p.bench.core.frames.free.available).toBe(4096 - 512);
  });

  it('a hole zeroes every byte of its range and no other', () => {
    const p = vm();
    const token = p.memfd(3 * PAGE);
    pwrite(p, token, 0, 'x'.repeat(3 * PAGE));
    allocate(p, token, PUNCH, 2, 2 * PAGE);
    const left = pread(p, token, 0, 3 * PAGE);
    expect(left).toBe(`xx${'\0'.repeat(2 * PAGE)}${'x'.repeat(PAGE - 2)}`);
    expect(p.bench.core.frames.free.available).toBe(4096 - 2);
  });
});

describe('seals', () => {
  it.each([
    ['of a file that allows none', 0, F_SEAL_SHRINK, 'EPERM'],
    ['an unknown one', MFD_ALLOW_SEALING, 0x40, 'EINVAL'],
    ['against writing', MFD_ALLOW_SEALING, F_SEAL_WRITE, 0],
  ])('%s', (_what, flags, seals, errno) => {
    const p = vm();
    expect(seal(p, p.memfd(PAGE, flags), seals)).toBe(errno);
  });

  it.each<[string, number, (p: TestProcess, token: string) => unknown, unknown]>([
    ['F_SEAL_SEAL: no more seals', F_SEAL_SEAL, (p, t) => seal(p, t, F_SEAL_GROW), 'EPERM'],
    ['F_SEAL_SHRINK: it may not get shorter', F_SEAL_SHRINK, (p, t) => truncate(p, t, 0), 'EPERM'],
    ['F_SEAL_SHRINK: it may grow', F_SEAL_SHRINK, (p, t) => truncate(p, t, 2 * PAGE), 0],
    ['F_SEAL_GROW: not by ftruncate', F_SEAL_GROW, (p, t) => truncate(p, t, 2 * PAGE), 'EPERM'],
    ['F_SEAL_GROW: not by fallocate', F_SEAL_GROW, (p, t) => allocate(p, t, 0, 0, 2 * PAGE), 'EPERM'],
    ['F_SEAL_GROW: not by pwrite', F_SEAL_GROW, (p, t) => pwrite(p, t, PAGE, 'x'), 'EPERM'],
    ['F_SEAL_WRITE: no pwrite', F_SEAL_WRITE, (p, t) => pwrite(p, t, 0, 'x'), 'EPERM'],
    ['F_SEAL_WRITE: no hole', F_SEAL_WRITE, (p, t) => allocate(p, t, 3, 0, PAGE), 'EPERM'],
    ['F_SEAL_WRITE: no writable mapping', F_SEAL_WRITE, (p, t) => errnoOf(p.mapFile(t, PAGE)), 'EPERM'],
    ['F_SEAL_WRITE: a readable one', F_SEAL_WRITE, (p, t) => errnoOf(p.mapFile(t, PAGE, { prot: 1 })), 0],
    [
      'F_SEAL_FUTURE_WRITE: no new writable mapping',
      F_SEAL_FUTURE_WRITE,
      (p, t) => errnoOf(p.mapFile(t, PAGE)),
      'EPERM',
    ],
    ['a device may still write to it (trace c064)', F_SEAL_WRITE, (p, t) => errnoOf(p.fileStore(t, 0, PAGE)), 0],
  ])('%s', (_what, seals, attempt, answer) => {
    const p = vm();
    const token = p.memfd(PAGE, MFD_ALLOW_SEALING);
    expect(seal(p, token, seals)).toBe(0);
    expect(attempt(p, token)).toBe(answer);
  });

  it.each<[string, (p: TestProcess, token: string) => unknown]>([
    ['a shared mapping that may be written', (p, token) => p.mapFile(token, PAGE, { prot: 1 })],
    ['a page that a device has pinned', (p, token) => p.fileStore(token, 0, PAGE)],
  ])('F_SEAL_WRITE is EBUSY while there is %s', (_what, hold) => {
    const p = vm();
    const token = p.memfd(PAGE, MFD_ALLOW_SEALING);
    hold(p, token);
    expect([seal(p, token, F_SEAL_WRITE), seal(p, token, F_SEAL_SHRINK)]).toEqual(['EBUSY', 0]);
  });
});

describe('mmap of a memfd', () => {
  it.each([
    ['no file', 'f'.repeat(8), PAGE, {}, 'EBADF'],
    ['nothing', undefined, 0, {}, 'EINVAL'],
    ['from within a page', undefined, PAGE, { offset: 1 }, 'EINVAL'],
    ['a file, or more than it is long', undefined, 9 * PAGE, {}, 0],
  ])('%s', (_what, token, length, place, errno) => {
    const p = vm();
    expect(errnoOf(p.mapFile(token ?? p.memfd(PAGE), length, place))).toBe(errno);
  });

  it('of a file opened for reading only: readable, never writable', () => {
    const p = vm();
    const token = value(p.call(pagesApi.memfdOpen, { token: p.memfd(PAGE), writable: false }));
    expect(errnoOf(p.mapFile(token, PAGE))).toBe('EACCES');
    const va = value(p.mapFile(token, PAGE, { prot: 1 }));
    expect(errnoOf(p.call(pagesApi.mprotect, { va, length: PAGE, prot: 3 }))).toBe('EACCES');
  });

  it('two mappings, pread and pwrite see the same bytes; the file stays while it is mapped', () => {
    const p = vm();
    const token = p.memfd(2 * PAGE);
    const [a, b] = [value(p.mapFile(token, 2 * PAGE)), value(p.mapFile(token, PAGE, { offset: PAGE }))];
    p.write(a + PAGE, 'mapped');
    expect([p.read(b, 6), pread(p, token, PAGE, 6)]).toEqual(['mapped', 'mapped']);
    pwrite(p, token, PAGE, 'direct');
    value(p.call(sysApi.close, { token }));
    p.munmap(a, 2 * PAGE);
    expect([p.read(b, 6), p.bench.core.files.size]).toEqual(['direct', 1]);
    p.munmap(b, PAGE);
    expect(p.bench.core.files.size).toBe(0);
  });

  it('hugetlb: whole pages, and a writable mapping makes the file long enough', () => {
    const p = vm();
    const token = p.memfd(0, MFD_HUGETLB);
    expect(errnoOf(p.mapFile(token, HUGE, { offset: PAGE }))).toBe('EINVAL');
    const va = value(p.mapFile(token, HUGE + 1));
    p.write(va + HUGE, 'x');
    expect(p.bench.core.frames.free.available).toBe(4096 - 512);
    expect(truncate(p, token, HUGE)).toBe(0);
    expect([errnoAt(p, va), errnoAt(p, va + HUGE)]).toEqual([0, 'EIO']);
  });
});

describe('grants', () => {
  it('another process reads what this one wrote, and keeps the file open', () => {
    const p = vm();
    const other = p.bench.start('other');
    const token = p.memfd(PAGE);
    pwrite(p, token, 0, 'ours');
    const granted = value(p.call(sysApi.grant, { token, to: other.client }));
    expect(granted.kind).toBe('memfd');
    p.bench.gone(p);
    expect(pread(other, granted.token, 0, 4)).toBe('ours');
    p.bench.gone(other);
    expect(p.bench.core.files.size).toBe(0);
  });

  it('an eventfd counts for both, wakes both, and lives until the last of them closes it', () => {
    const p = vm();
    const other = p.bench.start('other');
    const token = value(p.call(pagesApi.eventfd, { init: 0n }));
    const granted = value(p.call(sysApi.grant, { token, to: other.client }));
    value(other.call(pagesApi.eventfdWrite, { token: granted.token, value: 3n }));
    expect(p.bench.events.map(({ to }) => to)).toEqual([p.client, other.client]);
    p.bench.restart();
    value(other.call(sysApi.close, { token: granted.token }));
    expect(value(p.call(pagesApi.eventfdRead, { token }))).toBe(3n);
    value(p.call(sysApi.close, { token }));
    expect(p.bench.core.eventfds.size).toBe(0);
  });

  it.each([
    ['nobody', 'client:nobody', 'ESRCH'],
    ['what is not open', undefined, 'EBADF'],
  ])('%s', (_what, to, errno) => {
    const p = vm();
    const token = to === undefined ? 'f'.repeat(8) : p.memfd(PAGE);
    expect(errnoOf(p.call(sysApi.grant, { token, to: to ?? p.client }))).toBe(errno);
  });
});
