import { FileTable, MAX_FILES_PER_CLIENT } from './files.js';
import { ByteReader, ByteWriter } from './bytes.js';

const random = (n: number): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => (i < 4 ? n >> (8 * i) : 1));

describe('an open file', () => {
  it('is found by its capability, and only by the client that holds it', () => {
    const files = new FileTable<{ id: number }>();
    const token = files.open('client:a', { id: 1 }, random(1))!;
    expect(token).toHaveLength(8);
    expect(files.get(token, 'client:a')).toEqual({ id: 1 });
    expect(files.get(token, 'client:b')).toBeUndefined();
    expect(files.close(token, 'client:b')).toBeUndefined();
    expect(files.get('0'.repeat(8), 'client:a')).toBeUndefined();
  });

  it('closes with the last of its capabilities', () => {
    const files = new FileTable<{ id: number }>();
    const file = { id: 1 };
    const [a, b] = [files.open('client:a', file, random(1))!, files.open('client:b', file, random(2))!];
    expect(files.close(a, 'client:a')).toEqual({ file, last: false });
    expect(files.close(b, 'client:b')).toEqual({ file, last: true });
    expect(files.size).toBe(0);
  });

  it('is refused past the bound', () => {
    const files = new FileTable<{ id: number }>();
    for (let i = 0; i < MAX_FILES_PER_CLIENT; i++) expect(files.open('client:a', { id: i }, random(i))).toBeDefined();
    expect(files.open('client:a', { id: -1 }, random(99999))).toBeUndefined();
    expect(files.open('client:b', { id: -1 }, random(99999))).toBeDefined();
  });

  it('survives a snapshot', () => {
    const files = new FileTable<{ id: number }>();
    const token = files.open('client:a', { id: 7 }, random(3))!;
    const w = new ByteWriter();
    files.encode(w);
    const again = new FileTable<{ id: number }>();
    again.decode(new ByteReader(w.take()), (id) => ({ id }));
    expect(again.get(token, 'client:a')).toEqual({ id: 7 });
    expect(again.of('client:a')).toEqual([token]);
  });
});
