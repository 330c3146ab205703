import { MAX_STEPS, readTrace, readTraces } from './read-trace.js';

const HEADER = {
  format: 'vfio-oracle-trace/1',
  name: 't1',
  title: 'a program',
  machine: 'A-mock',
  kernel: '6.12.1',
  tags: ['x'],
};
const lines = (...objects: unknown[]): string => objects.map((each) => JSON.stringify(each)).join('\n');
const CLOSE = { i: 0, op: 'close', fd: 3, ret: 0 };

describe('reading a trace', () => {
  it('keeps header and steps', () => {
    const trace = readTrace(lines(HEADER, CLOSE), 'a.jsonl');
    expect(trace).toMatchObject({ name: 't1', machine: 'A-mock', file: 'a.jsonl', family: undefined });
    expect(trace.steps).toEqual([CLOSE]);
  });

  it('finds every trace of a file with several', () => {
    const text = lines(HEADER, CLOSE, { ...HEADER, name: 't2', family: 'r1', nondeterministic_steps: [0] }, CLOSE);
    const [first, second] = readTraces(text, 'a.jsonl');
    expect([first!.name, second!.name, second!.family]).toEqual(['t1', 't2', 'r1']);
    expect([...second!.nondeterministic]).toEqual([0]);
  });

  it('keeps whole numbers that JSON would round', () => {
    const text = `${lines(HEADER)}\n{"i": 0, "op": "setuid", "uid": 18446744073709551615, "note": "0000000000000000 1"}`;
    const [step] = readTrace(text, 'a.jsonl').steps;
    expect(step).toMatchObject({ uid: '18446744073709551615', note: '0000000000000000 1' });
  });
});

describe('what is wrong is said with file, line and field', () => {
  it.each([
    ['nothing in the file', '', 'a.jsonl:1: format: no trace'],
    ['a step before any header', lines(CLOSE), 'a.jsonl:1: format: a file begins with a header'],
    ['another format', lines({ ...HEADER, format: 'x/9' }), 'a.jsonl:1: format: "x/9" is not known'],
    ['no name', lines({ ...HEADER, name: 7 }), 'a.jsonl:1: name: a text is needed, not 7'],
    ['tags that are no texts', lines({ ...HEADER, tags: [1] }), 'a.jsonl:1: tags: a list of texts is needed'],
    ['no JSON', `${lines(HEADER)}\n{"i": 0,`, 'a.jsonl:2: '],
    ['no object', `${lines(HEADER)}\n[1]`, 'a.jsonl:2: a line is one JSON object'],
    ['a step out of order', lines(HEADER, { ...CLOSE, i: 3 }), 'a.jsonl:2: i: 3 should be 0'],
    ['an unknown step', lines(HEADER, { i: 0, op: 'clone' }), 'a.jsonl:2: op: "clone" is none of open, close'],
    ['a key that is missing', lines(HEADER, { i: 0, op: 'close' }), 'a.jsonl:2: fd: close needs it'],
    ['a key too many', lines(HEADER, { ...CLOSE, lenght: 4 }), 'a.jsonl:2: lenght: close has no such key'],
  ])('%s', (_name, text, message) => {
    expect(() => readTraces(text, 'a.jsonl')).toThrow(message);
  });

  it('a second trace where one is expected', () => {
    expect(() => readTrace(lines(HEADER, CLOSE, { ...HEADER, name: 't2' }), 'a.jsonl')).toThrow('t2 is a second one');
  });

  it('more steps than the bound', () => {
    const many = Array.from({ length: MAX_STEPS + 1 }, (_, i) => `{"i":${i},"op":"exit"}`).join('\n');
    expect(() => readTraces(`${lines(HEADER)}\n${many}`, 'a.jsonl')).toThrow(
      `a.jsonl:${MAX_STEPS + 2}: i: a trace has`,
    );
  });
});
