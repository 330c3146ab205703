import { type Errno, ok } from '@vfiolab/uapi';
import { ByteReader, ByteWriter } from '@vfiolab/core';
import { type Dmabuf, Dmabufs, MAX_DMABUF_PAGES, MAX_DMABUF_STORES, MAX_DMABUFS } from './dmabuf.js';

/** A dma-buf of two pages whose file is open. */
function two(): { all: Dmabufs; dmabuf: Dmabuf } {
  const all = new Dmabufs();
  const made = all.make(2);
  if (!made.ok) throw new Error(made.errno);
  return { all, dmabuf: made.value };
}

function storeOf(dmabuf: Dmabuf) {
  const store = dmabuf.open('c', 0n, 4096n, true);
  if (!store.ok) throw new Error(store.errno);
  return store.value;
}

it.each<[string, bigint, bigint, Errno | undefined]>([
  ['all of it', 0n, 8192n, undefined],
  ['its last byte', 8191n, 1n, undefined],
  ['nothing', 0n, 0n, 'EINVAL'],
  ['one byte too many', 1n, 8192n, 'EINVAL'],
  ['what begins at its end', 8192n, 1n, 'EINVAL'],
  ['what would wrap around', 0xffff_ffff_ffff_f000n, 4096n, 'EINVAL'],
])('a store over %s', (_what, va, length, errno) => {
  const opened = two().dmabuf.open('c', va, length, true);
  expect(opened.ok ? undefined : opened.errno).toBe(errno);
});

it('the host has room for so many, and the next is ENOMEM', () => {
  const all = new Dmabufs();
  const made = Array.from({ length: MAX_DMABUFS }, () => all.make(MAX_DMABUF_PAGES));
  expect(made.every((each) => each.ok)).toBe(true);
  expect(all.make(1)).toEqual({ ok: false, errno: 'ENOMEM' });
  expect(all.size).toBe(MAX_DMABUFS);
  all.at(7).closeFile();
  expect(all.make(1)).toEqual(ok(all.at(7)));
});

it('one dma-buf has room for so many stores, and the next is ENOMEM until one goes', () => {
  const { dmabuf } = two();
  const stores = Array.from({ length: MAX_DMABUF_STORES }, () => storeOf(dmabuf));
  expect(dmabuf.open('c', 0n, 4096n, true)).toEqual({ ok: false, errno: 'ENOMEM' });
  dmabuf.release(stores[7]!);
  expect(dmabuf.open('c', 0n, 4096n, true).ok).toBe(true);
});

it('the frames of two do not overlap, and the last can be named in half pages', () => {
  const all = new Dmabufs();
  const ends = Array.from({ length: MAX_DMABUFS }, (_, slot) => {
    all.make(MAX_DMABUF_PAGES);
    const [{ frame, count } = { frame: 0, count: 0 }] = all.at(slot).runs(0, MAX_DMABUF_PAGES);
    return { frame, end: frame + count };
  });
  expect(ends.every(({ frame }, i) => i === 0 || frame === ends[i - 1]!.end)).toBe(true);
  expect(ends.at(-1)!.end * 2).toBe(2 ** 32);
});

it('pages that it has not got are a bug of the caller', () => {
  expect(() => two().dmabuf.runs(1, 2)).toThrow('pages 1 + 2 of a dma-buf of 2');
});

it('stays for its stores when its file closes, and goes with the last', () => {
  const { all, dmabuf } = two();
  const [one, other] = [storeOf(dmabuf), storeOf(dmabuf)];
  dmabuf.closeFile();
  dmabuf.release(one);
  expect(all.size).toBe(1);
  dmabuf.release(other);
  expect(all.size).toBe(0);
});

it('revoking takes the stores there are for good; those opened after it was lent out again are sound', () => {
  const { dmabuf } = two();
  const before = storeOf(dmabuf);
  dmabuf.revoke();
  expect(dmabuf.open('c', 0n, 4096n, true)).toEqual({ ok: false, errno: 'ENODEV' });
  dmabuf.revoked = false;
  expect([before.revoked, storeOf(dmabuf).revoked]).toEqual([true, false]);
});

it('comes back from its bytes, the slots in order', () => {
  const { all, dmabuf } = two();
  all.make(5);
  dmabuf.revoke();
  dmabuf.nextStore = 9;
  const again = new Dmabufs();
  again.decode(new ByteReader(bytesOf(all)));
  expect(again.describe()).toEqual(['dma-buf 0: 2 pages, 0 stores, revoked', 'dma-buf 1: 5 pages, 0 stores']);
  expect(bytesOf(again)).toEqual(bytesOf(all));
});

it.each<[string, (dmabuf: Dmabuf) => void]>([
  ['I24: nobody has it', (d) => (d.fileOpen = false)],
  ['I24: a store without areas is left', (d) => (storeOf(d).areas = 0)],
  ['I02: it is revoked, and a store of it is not', (d) => (storeOf(d), (d.revoked = true))],
])('%s', (broken, breakIt) => {
  const { all, dmabuf } = two();
  expect(all.check()).toEqual([]);
  breakIt(dmabuf);
  expect(all.check()).toEqual([`dma-buf 0: ${broken}`]);
});

function bytesOf(all: Dmabufs): Uint8Array {
  const w = new ByteWriter();
  all.encode(w, 'snapshot');
  return w.take();
}
