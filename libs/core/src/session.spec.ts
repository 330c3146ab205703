import { Channel, Session, WINDOW } from './session.js';
import { ByteReader, ByteWriter } from './bytes.js';

const frame = (n: number): Uint8Array => Uint8Array.of(n & 255, n >>> 8);

describe('a session', () => {
  test('takes a request once, says pending while it runs, and repeats its answer after that', () => {
    const s = new Session();
    expect(s.admit(1, 1, 0).kind).toBe('new');
    expect(s.admit(1, 1, 0).kind).toBe('pending');
    s.answer(1, frame(1));
    expect(s.admit(1, 1, 0)).toEqual({ kind: 'answered', frame: frame(1) });
  });

  test('forgets an answer only when the sender says that it has it', () => {
    const s = new Session();
    for (let id = 1; id <= 100; id++) {
      s.admit(id, 1, 0);
      s.answer(id, frame(id));
    }
    expect(s.admit(60, 60, 0)).toEqual({ kind: 'answered', frame: frame(60) });
    expect(s.admit(59, 1, 0).kind).toBe('forgotten');
    expect(s.size).toBe(41);
  });

  test('takes a window above the floor and not one more, in any order', () => {
    const s = new Session();
    expect(s.admit(WINDOW + 1, 1, 0).kind).toBe('overloaded');
    for (let id = WINDOW; id >= 1; id--) expect(s.admit(id, 1, 0).kind).toBe('new');
    for (let id = 1; id <= WINDOW; id++) s.answer(id, frame(id));
    expect(s.size).toBe(WINDOW);
    expect(s.admit(WINDOW + 1, 2, 0).kind).toBe('new');
    expect(s.admit(WINDOW, 2, 0)).toEqual({ kind: 'answered', frame: frame(WINDOW) });
  });

  test('a floor that leaps far ahead empties it', () => {
    const s = new Session();
    s.admit(1, 1, 0);
    expect(s.admit(2 ** 40, 2 ** 40, 0).kind).toBe('new');
    expect(s.size).toBe(1);
  });

  test('refuses an epoch older than the newest it saw', () => {
    const s = new Session();
    s.admit(1, 1, 5);
    expect(s.admit(2, 1, 4).kind).toBe('fenced');
  });

  test('is the same after it was written and read back', () => {
    const s = new Session();
    for (let id = 1; id <= 40; id++) {
      s.admit(id, 1, 3);
      s.answer(id, frame(id));
    }
    s.admit(40, 30, 3);
    const w = new ByteWriter();
    s.encode(w);
    const again = Session.decode(new ByteReader(w.take()));
    const twice = new ByteWriter();
    again.encode(twice);
    expect(twice.take()).toEqual(w.take());
    expect(again.admit(31, 30, 3)).toEqual({ kind: 'answered', frame: frame(31) });
    expect(again.admit(29, 30, 3).kind).toBe('forgotten');
    expect(again.admit(41, 30, 2).kind).toBe('fenced');
  });
});

describe('a channel', () => {
  const send = (c: Channel<number>, waiter: number): { id: number; floor: number } => {
    let sent = { id: 0, floor: 0 };
    c.send(waiter, (id, floor) => ((sent = { id, floor }), frame(id)));
    return sent;
  };

  test('numbers requests from 1 and its floor is the oldest that is open', () => {
    const c = new Channel<number>();
    for (let n = 1; n <= 30; n++) expect(send(c, n)).toEqual({ id: n, floor: 1 });
    for (let n = 30; n >= 2; n--) expect(c.settle(n)).toBe(n);
    expect(send(c, 31).floor).toBe(1);
    expect(c.settle(1)).toBe(1);
    expect(c.floor).toBe(31);
    expect([...c.pending()].map((p) => p.waiter)).toEqual([31]);
  });

  test('an answer that comes twice, or to no question, settles nothing', () => {
    const c = new Channel<number>();
    send(c, 7);
    expect(c.settle(1)).toBe(7);
    expect(c.settle(1)).toBeUndefined();
    expect(c.settle(2)).toBeUndefined();
    expect(c.settle(0)).toBeUndefined();
  });

  test('is full at a window of open requests, however far they are apart', () => {
    const c = new Channel<number>();
    send(c, 0);
    for (let n = 1; n < WINDOW; n++) {
      send(c, n);
      c.settle(n + 1);
    }
    for (let n = 1; n < WINDOW; n++) send(c, n);
    expect(c.full).toBe(true);
    expect(c.size).toBe(WINDOW);
    expect(c.floor).toBe(1);
  });
});
