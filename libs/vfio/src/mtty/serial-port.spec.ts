import { SerialPort } from './serial-port.js';

const [DATA, IER, FCR, LCR, MCR, LSR, MSR, SCR] = [0, 1, 2, 3, 4, 5, 6, 7];
const read = (port: SerialPort, register: number): number => port.read(register).value;

test('what is sent comes back in order', () => {
  const port = new SerialPort();
  for (const byte of [1, 2, 3]) expect(port.write(DATA, byte)).toBe(0);
  expect(read(port, LSR)).toBe(1);
  expect([1, 2, 3].map(() => read(port, DATA))).toEqual([1, 2, 3]);
  expect([read(port, LSR), read(port, DATA)]).toEqual([0x60, 0]);
});

test('a full FIFO overruns, and looks empty', () => {
  const port = new SerialPort();
  for (let i = 0; i < 17; i++) port.write(DATA, i);
  expect([read(port, LSR), read(port, DATA)]).toEqual([0x62, 0]);
  port.write(FCR, 7);
  expect(read(port, LSR)).toBe(0x62);
  port.write(DATA, 9);
  expect([read(port, LSR), read(port, DATA)]).toEqual([1, 9]);
});

test('without FIFO there is room for one byte', () => {
  const port = new SerialPort();
  port.write(FCR, 0);
  port.write(DATA, 1);
  port.write(DATA, 2);
  expect([read(port, LSR), read(port, DATA), read(port, LSR)]).toEqual([3, 1, 0x62]);
});

test('the divisor is behind DLAB, and adds up until DLAB is set again', () => {
  const port = new SerialPort();
  port.write(LCR, 0x83);
  port.write(DATA, 0x0c);
  port.write(IER, 0x01);
  port.write(DATA, 0x10);
  expect([read(port, DATA), read(port, IER), read(port, LCR)]).toEqual([0x1c, 1, 0x83]);
  port.write(LCR, 0x03);
  expect([read(port, DATA), read(port, IER), read(port, LSR)]).toEqual([0, 0, 0x60]);
  port.write(LCR, 0x80);
  expect([read(port, DATA), read(port, IER)]).toEqual([0, 0]);
});

test.each([
  ['nothing enabled', 0, [], 0xc1],
  ['data at the trigger level', 1, [[DATA, 1]], 0xc4],
  ['transmitter empty', 2, [], 0xc2],
  ['transmitter not empty', 2, [[DATA, 1]], 0xc1],
  ['no overrun', 4, [[DATA, 1]], 0xc1],
  ['modem lines, which have no bit', 8, [[MCR, 3]], 0xc1],
])('IIR: %s', (_what, enabled, writes, value) => {
  const port = new SerialPort();
  port.write(FCR, 1);
  port.write(IER, enabled);
  for (const [register, byte] of writes) port.write(register!, byte!);
  expect(read(port, 2)).toBe(value);
});

test('what fires, and how often', () => {
  const port = new SerialPort();
  port.write(FCR, 1);
  port.write(IER, 1);
  expect([port.write(DATA, 1), port.write(DATA, 2)]).toEqual([1, 0]);
  expect(port.write(IER, 2)).toBe(0);
  expect([port.read(DATA).fires, port.read(DATA).fires, port.read(DATA).fires]).toEqual([0, 1, 1]);
  expect([port.write(IER, 2), port.write(IER, 8)]).toEqual([1, 0]);
  expect([3, 8, 11, 4].map((lines) => port.write(MCR, lines))).toEqual([1, 1, 2, 0]);
  port.write(IER, 4);
  for (let i = 0; i < 16; i++) port.write(DATA, i);
  expect([port.write(DATA, 1), read(port, 2)]).toEqual([1, 0xc6]);
});

test('clear to send follows the room when autoflow is on', () => {
  const port = new SerialPort();
  port.write(FCR, 0);
  port.write(DATA, 1);
  expect(read(port, MSR)).toBe(0xb3);
  port.write(MCR, 0x20);
  expect(read(port, MSR)).toBe(0xa2);
  read(port, DATA);
  expect(read(port, MSR)).toBe(0xb3);
});

test('scratch and reserved registers', () => {
  const port = new SerialPort();
  for (const register of [LSR, MSR, SCR, 8, 0xffff]) port.write(register, 0x5a);
  expect([LSR, MSR, SCR, 8, 0xffff].map((register) => read(port, register))).toEqual([0x60, 0xb3, 0x5a, 0, 0]);
});

test('whatever state is loaded, the rest of it stays as it was', () => {
  const port = new SerialPort();
  port.load(new Uint8Array(36).fill(0xff));
  for (let register = 0; register < 9; register++) port.read(register);
  port.write(LCR, 0);
  port.write(FCR, 1);
  port.write(DATA, 7);
  expect(port.state.length).toBe(36);
  expect(port.state.subarray(0, 3)).toEqual(Uint8Array.of(0xff, 0xff, 0xff));
});
