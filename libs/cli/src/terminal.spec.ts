import { FakeTerminal } from './testing/fake-terminal.js';

describe('colours', () => {
  test.each([
    ['on a terminal', { tty: true }, '\x1b[31mx\x1b[0m'],
    ['not into a file', { tty: false }, 'x'],
    ['not with NO_COLOR', { tty: true, env: { NO_COLOR: '1' } }, 'x'],
    ['not on a dumb terminal', { tty: true, env: { TERM: 'dumb' } }, 'x'],
  ])('%s', (_rule, options, shown) => expect(new FakeTerminal(options).style('red', 'x')).toBe(shown));
});

describe('progress', () => {
  test('is one line on stderr that fits, and the next output replaces it', () => {
    const terminal = new FakeTerminal({ tty: true });
    terminal.progress('p'.repeat(100));
    terminal.out('result');
    expect(terminal.written).toEqual({ out: 'result\n', err: `\r\x1b[K${'p'.repeat(39)}\r\x1b[K` });
  });
  test('is not shown where nobody looks', () => {
    const terminal = new FakeTerminal();
    terminal.progress('working');
    terminal.out('result');
    expect(terminal.written).toEqual({ out: 'result\n', err: '' });
  });
});

describe('progress of a long run', () => {
  test('is shown as any other on a terminal', () => {
    const terminal = new FakeTerminal({ tty: true });
    for (const seed of [1, 2]) terminal.longProgress(`seed ${seed}`, seed);
    expect(terminal.written).toEqual({ out: '', err: '\r\x1b[Kseed 1\r\x1b[Kseed 2' });
  });
  test('is a line every 30 seconds elsewhere', () => {
    const terminal = new FakeTerminal();
    for (let s = 0; s <= 65; s += 5) terminal.longProgress(`${s} s`, 7000 + s * 1000);
    expect(terminal.written).toEqual({ out: '', err: '30 s\n60 s\n' });
  });
});

describe('running text', () => {
  const terminal = new FakeTerminal();
  test('breaks at the width, later lines under the indent', () => {
    const text = 'word '.repeat(30);
    const lines = terminal.wrap(text, '    ', '1 ').split('\n');
    expect(lines.length).toBeGreaterThan(2);
    expect(lines.every((line) => line.length <= 60)).toBe(true);
    expect(lines[0]!.startsWith('1 word')).toBe(true);
    expect(lines.slice(1).every((line) => /^ {4}\S/.test(line))).toBe(true);
  });
  test('a word longer than a line stays whole', () =>
    expect(terminal.wrap('x'.repeat(99), '  ')).toBe(`  ${'x'.repeat(99)}`));
});
