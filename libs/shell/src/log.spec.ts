import { Log, type LogFormat } from './log.js';

function logged(format: LogFormat, speak: (log: Log) => void): { out: string[]; err: string[] } {
  const said = { out: [] as string[], err: [] as string[] };
  const now = (): Date => new Date(0);
  speak(new Log('pages', format, { now, out: (l) => said.out.push(l), err: (l) => said.err.push(l) }));
  return said;
}

test('people read who said what', () => {
  const { out, err } = logged('text', (log) => {
    log.say('info', 'ready', { host: 'h1' });
    log.say('error', 'the disk is full');
  });
  expect([out, err]).toEqual([['pages: ready'], ['pages: the disk is full']]);
});

test('programs get one object a line, whatever is in it', () => {
  const { out, err } = logged('json', (log) => {
    log.say('info', 'ready', { host: 'h1' });
    log.say('warning', 'two\nlines "quoted"');
  });
  expect(out.map((line) => JSON.parse(line) as unknown)).toEqual([
    { time: '1970-01-01T00:00:00.000Z', level: 'info', service: 'pages', text: 'ready', host: 'h1' },
  ]);
  expect(err.join('')).not.toContain('\n');
  expect(err.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { level: 'warning', text: 'two\nlines "quoted"' },
  ]);
});
