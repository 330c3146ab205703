/** /dev/null, /dev/zero, /dev/udmabuf with its dma-bufs, and the program's own file. */
import {
  type ArgsOf,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  MFD_ALLOW_SEALING,
  pagesApi,
  PROGRAM_PATH,
  STDIO_TOKEN,
  sysApi,
} from '@vfiolab/core';
import {
  encode,
  type Errno,
  errnoName,
  UDMABUF_CREATE,
  UDMABUF_CREATE_LIST,
  udmabuf_create,
  udmabuf_create_item,
  UDMABUF_LIST_LIMIT,
  UDMABUF_PAGE_LIMIT,
} from '@vfiolab/uapi';
import { PROGRAM_BYTES } from './memory-files.js';
import { Bench, errnoOf, PAGE, type TestProcess, value } from './testing/harness.js';

const [O_RDONLY, O_WRONLY, O_RDWR] = [0, 1, 2];
const ARG = 0x1000;
const vm = (frames = 4096) => new Bench(frames).start('vm');
const open = (p: TestProcess, path: string, flags = O_RDWR) => p.call(sysApi.open, { path, flags });
const tokenOf = (p: TestProcess, path: string, flags?: number) => value(open(p, path, flags)).token;
const pread = (p: TestProcess, token: string, length: number) => p.call(sysApi.pread, { token, offset: 0, length });
const pwrite = (p: TestProcess, token: string) => p.call(sysApi.pwrite, { token, offset: 0, data: new Uint8Array(3) });

describe('device nodes', () => {
  it.each([
    ['/dev/null', O_RDWR, 0, 3],
    ['/dev/zero', O_RDWR, 5, 3],
    ['/dev/zero', O_RDONLY, 5, 'EBADF'],
    ['/dev/zero', O_WRONLY, 'EBADF', 3],
    ['/dev/udmabuf', O_RDWR, 'EINVAL', 'EINVAL'],
  ])('%s, opened with %i', (path, flags, read, written) => {
    const p = vm();
    const token = tokenOf(p, path, flags);
    const [got, put] = [pread(p, token, 5), pwrite(p, token)];
    expect(got.ok ? got.value.length : got.errno).toBe(read);
    expect(put.ok ? put.value : put.errno).toBe(written);
    expect(errnoOf(p.mapFile(token, PAGE))).toBe('ENODEV');
    expect(p.call(sysApi.ioctl, { token, cmd: 0x3b85, arg: 0, segments: [], fds: [] }).errno).toBe(25);
    expect(errnoOf(p.fileStore(token, 0, PAGE))).toBe('EINVAL');
    expect(errnoOf(p.call(sysApi.close, { token }))).toBe(0);
    expect(errnoOf(p.call(sysApi.close, { token }))).toBe('EBADF');
  });

  it('0 to 2 are /dev/null, and stay', () => {
    const p = vm();
    expect(value(pread(p, STDIO_TOKEN, 5))).toHaveLength(0);
    expect([errnoOf(p.call(sysApi.close, { token: STDIO_TOKEN })), errnoOf(pwrite(p, STDIO_TOKEN))]).toEqual([0, 0]);
  });

  it('no other node is here, and who is no process opens nothing', () => {
    const p = vm();
    expect(errnoOf(open(p, '/dev/mem'))).toBe('ENXIO');
    expect(errnoOf(p.bench.call('client:nobody', sysApi.open, { path: '/dev/null', flags: O_RDWR }))).toBe('ESRCH');
  });
});

describe("the program's own file", () => {
  it('has pages that can be mapped for DMA, and is written by nobody (c061, c062)', () => {
    const p = vm();
    const token = tokenOf(p, PROGRAM_PATH, O_RDONLY);
    expect(value(p.fileStore(token, 0, 4 * PAGE)).pinned.next).toBe(4);
    expect(errnoOf(p.fileStore(token, PROGRAM_BYTES, PAGE))).toBe('EINVAL');
    expect([errnoOf(open(p, PROGRAM_PATH)), errnoOf(pwrite(p, token))]).toEqual(['ETXTBSY', 'EBADF']);
    expect(errnoOf(p.call(pagesApi.memfdOpen, { token, writable: true }))).toBe('ETXTBSY');
    expect(errnoOf(p.call(pagesApi.addSeals, { token, seals: F_SEAL_SHRINK }))).toBe('EPERM');
  });

  it('is one for all, and goes with the last user', () => {
    const p = vm();
    const other = p.bench.start('other');
    const tokens = [tokenOf(p, PROGRAM_PATH, O_RDONLY), tokenOf(other, PROGRAM_PATH, O_RDONLY)];
    expect(p.bench.core.files.size).toBe(1);
    p.bench.restart();
    expect(tokenOf(p, PROGRAM_PATH, O_RDONLY)).not.toBe(tokens[0]);
    expect(p.bench.core.files.size).toBe(1);
    for (const process of [p, other]) p.bench.gone(process);
    expect(p.bench.core.files.size).toBe(0);
  });
});

describe('/dev/udmabuf', () => {
  interface Made {
    readonly errno: Errno | 0;
    readonly token: string;
  }
  type Item = { memfd?: string; offset?: number; size?: number };

  function call(p: TestProcess, cmd: number, bytes: Uint8Array, memfds: readonly string[]): Made {
    const fds = memfds.map((token, fd) => ({ fd, token, owner: 'pages' }));
    const segments = [{ va: ARG, writable: true, bytes }];
    const args: ArgsOf<typeof sysApi.ioctlFile> = { token: tokenOf(p, '/dev/udmabuf'), cmd, arg: ARG, segments, fds };
    const { errno, file } = p.call(sysApi.ioctlFile, args);
    return { errno: errno === 0 ? 0 : errnoName(errno), token: file?.token ?? '' };
  }
  const fields = (memfd: number, { offset = 0, size = PAGE }: Item) => ({
    memfd,
    offset: BigInt(offset),
    size: BigInt(size),
  });
  const create = (p: TestProcess, item: Item) =>
    call(p, UDMABUF_CREATE.nr, encode(udmabuf_create, fields(0, item)), item.memfd ? [item.memfd] : []);
  function createList(p: TestProcess, items: readonly Item[], count = items.length): Made {
    const bytes = new Uint8Array(8 + items.length * udmabuf_create_item.size);
    new DataView(bytes.buffer).setUint32(4, count, true);
    items.forEach((item, i) => bytes.set(encode(udmabuf_create_item, fields(i, item)), 8 + i * 24));
    return call(
      p,
      UDMABUF_CREATE_LIST.nr,
      bytes,
      items.flatMap(({ memfd }) => memfd ?? []),
    );
  }
  /** A memfd of four pages with these seals. */
  function memfd(p: TestProcess, seals = F_SEAL_SHRINK): string {
    const token = p.memfd(4 * PAGE, MFD_ALLOW_SEALING);
    if (seals) value(p.call(pagesApi.addSeals, { token, seals }));
    return token;
  }
  const bytesOf = (p: TestProcess, token: string) =>
    p.bench.call('iommufd', pagesApi.dmabufBytes, { client: p.client, token });

  it.each<[string, (p: TestProcess) => Item, Errno | 0]>([
    ['all of a memfd', (p) => ({ memfd: memfd(p), size: 4 * PAGE }), 0],
    ['pages from within', (p) => ({ memfd: memfd(p), offset: PAGE, size: PAGE }), 0],
    ['no whole pages', (p) => ({ memfd: memfd(p), size: PAGE + 1 }), 'EINVAL'],
    ['not from a page on', (p) => ({ memfd: memfd(p), offset: 1 }), 'EINVAL'],
    ['nothing', (p) => ({ memfd: memfd(p), size: 0 }), 'EINVAL'],
    ['more than the driver takes', (p) => ({ memfd: memfd(p), size: (UDMABUF_PAGE_LIMIT + 1) * PAGE }), 'EINVAL'],
    ['more than the memfd has', (p) => ({ memfd: memfd(p), offset: PAGE, size: 4 * PAGE }), 'EINVAL'],
    ['a memfd that may shrink', (p) => ({ memfd: memfd(p, 0) }), 'EINVAL'],
    ['a memfd sealed against writing', (p) => ({ memfd: memfd(p, F_SEAL_SHRINK | F_SEAL_WRITE) }), 'EINVAL'],
    ['one sealed against later writers', (p) => ({ memfd: memfd(p, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE) }), 'EINVAL'],
    ['no file', () => ({}), 'EBADFD'],
    ['a file that is not in memory', (p) => ({ memfd: tokenOf(p, '/dev/zero') }), 'EBADFD'],
    ['the program', (p) => ({ memfd: tokenOf(p, PROGRAM_PATH, O_RDONLY) }), 'EINVAL'],
  ])('UDMABUF_CREATE of %s', (_what, item, errno) => {
    const p = vm();
    expect(create(p, item(p)).errno).toBe(errno);
  });

  it('pins its pages and charges nobody, until its last close', () => {
    const p = vm();
    const token = memfd(p);
    const made = create(p, { memfd: token, size: 4 * PAGE });
    expect([bytesOf(p, made.token), bytesOf(p, token), p.status().vmPinnedKb]).toEqual([4 * PAGE, undefined, 0]);
    expect(errnoOf(p.call(pagesApi.addSeals, { token, seals: F_SEAL_WRITE }))).toBe('EBUSY');
    value(p.call(sysApi.close, { token }));
    const other = p.bench.start('other');
    const granted = value(p.call(sysApi.grant, { token: made.token, to: other.client }));
    p.bench.restart();
    p.bench.gone(p);
    expect([bytesOf(other, granted.token), p.bench.core.frames.free.available]).toEqual([4 * PAGE, 4096 - 4]);
    value(other.call(sysApi.close, { token: granted.token }));
    expect([p.bench.core.frames.free.available, p.bench.core.files.size, p.bench.core.special.size]).toEqual([
      4096, 0, 0,
    ]);
  });

  it('a list is one dma-buf, or none when one piece is refused', () => {
    const p = vm();
    const [a, b] = [memfd(p), memfd(p)];
    expect(bytesOf(p, createList(p, [{ memfd: a, size: 2 * PAGE }, { memfd: b }]).token)).toBe(3 * PAGE);
    const free = p.bench.core.frames.free.available;
    expect(
      createList(p, [
        { memfd: a, size: 4 * PAGE },
        { memfd: b, size: 8 * PAGE },
      ]).errno,
    ).toBe('EINVAL');
    expect(p.bench.core.frames.free.available).toBe(free - 2);
  });

  it.each<[string, number, Errno]>([
    ['one entry too many', UDMABUF_LIST_LIMIT + 1, 'EINVAL'],
    ['entries that are not there', 2, 'EFAULT'],
    ['no entry', 0, 'EINVAL'],
  ])('a list with %s', (_what, count, errno) => {
    const p = vm();
    expect(createList(p, [{ memfd: memfd(p) }], count).errno).toBe(errno);
  });

  it('out of memory is ENOMEM, an argument that is not there EFAULT, another ioctl ENOTTY', () => {
    const p = vm(3);
    expect(create(p, { memfd: memfd(p), size: 4 * PAGE }).errno).toBe('ENOMEM');
    expect(call(p, UDMABUF_CREATE.nr, new Uint8Array(23), []).errno).toBe('EFAULT');
    expect(call(p, 0x7544, new Uint8Array(24), []).errno).toBe('ENOTTY');
  });
});
