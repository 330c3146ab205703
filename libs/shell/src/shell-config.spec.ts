import { ConfigError, configFromEnvironment } from './shell-config.js';

const GOOD = { VFIOLAB_NATS: 'nats://127.0.0.1:4222', VFIOLAB_DATA: '/var/lib/vfiolab' };

test('what is not set has a default, but for the server and the folder', () => {
  expect(configFromEnvironment(GOOD, { nats: true })).toEqual({
    nats: 'nats://127.0.0.1:4222',
    tenant: 'default',
    lab: 'lab',
    host: 'host0',
    data: '/var/lib/vfiolab',
    durability: 'process',
    record: false,
    hosts: 1,
    lifeline: false,
    log: 'text',
  });
});

test('a process may be allowed to serve many hosts', () => {
  expect(configFromEnvironment({ ...GOOD, VFIOLAB_HOSTS: '256' }, { nats: true }).hosts).toBe(256);
});

test('a process may show how it is, at one address', () => {
  const read = (VFIOLAB_WATCH: string) => configFromEnvironment({ ...GOOD, VFIOLAB_WATCH }, { nats: true }).watch;
  expect(read('127.0.0.1:9464')).toEqual({ address: '127.0.0.1', port: 9464 });
  expect(read('')).toBeUndefined();
});

test('an embedded lab needs no server, and one that keeps nothing no folder', () => {
  const config = configFromEnvironment({ VFIOLAB_DURABILITY: 'none' }, { nats: false });
  expect([config.nats, config.data, config.durability]).toEqual([undefined, undefined, 'none']);
});

test.each([
  ['no server', { VFIOLAB_NATS: '' }, /VFIOLAB_NATS is not set.*nats:\/\/127/],
  ['a server that is no NATS address', { VFIOLAB_NATS: 'http://x' }, /VFIOLAB_NATS is 'http:\/\/x': must be like/],
  ['no folder', { VFIOLAB_DATA: undefined }, /VFIOLAB_DATA is not set.*VFIOLAB_DURABILITY=none/],
  ['a tenant with a dot', { VFIOLAB_TENANT: 'a.b' }, /VFIOLAB_TENANT is 'a.b': must be 1 to 64 letters/],
  ['a lab that is a wildcard', { VFIOLAB_LAB: '*' }, /VFIOLAB_LAB is '\*'/],
  ['an empty host', { VFIOLAB_HOST: '' }, /VFIOLAB_HOST is ''/],
  [
    'an unknown durability',
    { VFIOLAB_DURABILITY: 'full' },
    /VFIOLAB_DURABILITY is 'full': must be process, power, none/,
  ],
  ['no host at all', { VFIOLAB_HOSTS: '0' }, /VFIOLAB_HOSTS is '0': must be a whole number from 1 to 256/],
  ['more hosts than a process can serve', { VFIOLAB_HOSTS: '257' }, /VFIOLAB_HOSTS is '257'/],
  ['hosts that are no number', { VFIOLAB_HOSTS: '1e2' }, /VFIOLAB_HOSTS is '1e2'/],
  ['a place to watch without a port', { VFIOLAB_WATCH: '127.0.0.1' }, /VFIOLAB_WATCH is '127.0.0.1': must be an IPv4/],
  ['a place to watch that is a name', { VFIOLAB_WATCH: 'localhost:1' }, /VFIOLAB_WATCH is 'localhost:1'/],
  ['a port that is none', { VFIOLAB_WATCH: '127.0.0.1:65536' }, /VFIOLAB_WATCH is '127.0.0.1:65536'/],
  ['an unknown format of what it says', { VFIOLAB_LOG: 'xml' }, /VFIOLAB_LOG is 'xml': must be text or json/],
  ['an unknown flag', { VFIOLAB_RECORD: 'yes' }, /VFIOLAB_RECORD is 'yes': must be 0 or 1/],
])('%s is refused with what it must be', (_name, change, message) => {
  const read = (): unknown => configFromEnvironment({ ...GOOD, ...change }, { nats: true });
  expect(read).toThrow(ConfigError);
  expect(read).toThrow(message);
});

test('every mistake is reported at once', () => {
  const read = (): unknown => configFromEnvironment({ VFIOLAB_LAB: '!', VFIOLAB_HOST: '!' }, { nats: true });
  expect(read).toThrow(/VFIOLAB_LAB[^]*VFIOLAB_HOST[^]*VFIOLAB_NATS[^]*VFIOLAB_DATA/);
});
