import { encode, fail, iommu_ioas_alloc, iommu_ioas_iova_ranges, iommu_iova_range, ok } from '@vfiolab/uapi';
import type { Segment } from '@vfiolab/core';
import { readScenario } from './read.js';
import { type Observer, runScenario, type ScenarioResult } from './run.js';
import { FakeEnvironment, scenarioText, type Script } from './testing/fake-environment.js';

interface Ran {
  readonly result: ScenarioResult;
  readonly environment: FakeEnvironment;
}

async function run(
  steps: readonly string[],
  script: Script = {},
  environment = new FakeEnvironment(script),
  observer?: Observer,
): Promise<Ran> {
  const result = await runScenario(readScenario(scenarioText(...steps), 'test.yaml'), environment, observer);
  return { result, environment };
}

const transcript = ({ result }: Ran): string[] => result.transcript.map(({ call, answer }) => `${call} = ${answer}`);
const IOMMUFD = '{ open: { path: /dev/iommu }, as: fd }';
const ioctlAnswer = (errno: number, ret = 0, writes: { va: number; bytes: Uint8Array }[] = []) => ({
  errno,
  ret,
  writes,
  file: undefined,
});

describe('the host', () => {
  test('its description goes in pieces, then it is made, then the processes start in their order', async () => {
    const { environment, result } = await run(['note: x']);
    expect(result.ok).toBe(true);
    const [load, create, ...starts] = environment.calls;
    expect(load).toMatchObject({ client: 'operator', method: 'lab.loadMachine', args: { part: 0 } });
    expect(create!.args).toEqual({
      machine: 'asus-fx505dt',
      profile: '6.12',
      iommu: 'amd-vi',
      frames: 262144,
      allowUnsafeInterrupts: 0,
      vfioContainer: 'vfio',
      pageShift: 12,
    });
    expect(starts.map(({ client, method }) => `${client} ${method}`)).toEqual([
      'vmm pages.procStart',
      'guest pages.procStart',
    ]);
  });

  test.each<[string, Script, RegExp]>([
    [
      'a machine that is refused',
      { 'lab.createHost': { error: 'no such IOMMU', functions: 0, groups: 0 } },
      /test.yaml: making the host of machine asus-fx505dt: no such IOMMU/,
    ],
    ['a piece that is refused', { 'lab.loadMachine': fail('E2BIG') }, /part 0 .* was refused: E2BIG/],
    ['a process that cannot start', { 'pages.procStart': fail('EAGAIN') }, /process vmm could not be started: EAGAIN/],
  ])('%s ends the run before its first step', async (_rule, script, says) => {
    const { result } = await run(['note: x'], script);
    expect(result).toMatchObject({ ok: false, transcript: [], failure: { step: 0 } });
    expect(result.failure!.message).toMatch(says);
  });
});

describe('each call in words, as strace would show it, with its answer', () => {
  const rows: [string, string[], Script, string][] = [
    ['open', ['open: { path: /dev/iommu }'], {}, 'open("/dev/iommu", O_RDWR) = 3</dev/iommu>'],
    ['close of nothing', ['{ close: { fd: 9 }, expect: { errno: EBADF } }'], {}, 'close(9) = -1 EBADF'],
    ['dup', [IOMMUFD, 'dup: { fd: $fd }'], {}, 'dup(3</dev/iommu>) = 4</dev/iommu>'],
    [
      'grant',
      [IOMMUFD, 'grant: { fd: $fd, to: guest }'],
      { 'sys.grant': ok({ token: 't', kind: 'iommufd' }) },
      'sendmsg(guest, SCM_RIGHTS, 3</dev/iommu>) = 3</dev/iommu>',
    ],
    [
      'pread of a register',
      [IOMMUFD, 'pread: { fd: $fd, region: config, at: 4, u16: 0x0102 }'],
      { 'sys.pread': ok(Uint8Array.of(2, 1)) },
      'pread(3</dev/iommu>, 2, config + 0x4) = 2 {0x102}',
    ],
    [
      'pread of bytes',
      [IOMMUFD, '{ pread: { fd: $fd, region: 2, at: 0, length: 3 }, expect: { data: 0a0b0c } }'],
      { 'sys.pread': ok(Uint8Array.of(10, 11, 12)) },
      'pread(3</dev/iommu>, 3, 2 + 0x0) = 3 0a 0b 0c',
    ],
    [
      'pwrite',
      [IOMMUFD, 'pwrite: { fd: $fd, region: bar0, at: 0x98, u64: 5 }'],
      { 'sys.pwrite': ok(8) },
      'pwrite(3</dev/iommu>, {0x5}, 8, bar0 + 0x98) = 8',
    ],
    [
      'mmap of huge pages',
      ['mmap: { length: 2GiB, pages: 1GiB, prot: r }'],
      { 'pages.mmap': ok(0x7000) },
      'mmap(NULL, 2 GiB, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|MAP_HUGE_1GB) = 0x7000',
    ],
    [
      'munmap',
      ['munmap: { at: 0x1000, length: 4KiB }'],
      { 'pages.munmap': ok(undefined) },
      'munmap(0x1000, 4 KiB) = 0',
    ],
    [
      'write',
      ['write: { at: 0x1000, text: hello }'],
      { 'pages.memWrite': ok(undefined) },
      'memcpy(0x1000, "hello") = done',
    ],
    [
      'fill',
      ['write: { at: 0x1000, fill: { length: 4KiB, value: 255 } }'],
      { 'pages.memWrite': ok(undefined) },
      'memset(0x1000, 0xff, 4 KiB) = done',
    ],
    [
      'read',
      ['{ read: { at: 0x1000, length: 2 }, expect: { text: hi } }'],
      { 'pages.memRead': ok(new TextEncoder().encode('hi')) },
      'load(0x1000, 2 bytes) = "hi"',
    ],
    ['eventfd', ['eventfd: { init: 2 }'], { 'pages.eventfd': ok('token') }, 'eventfd(2, EFD_NONBLOCK) = 3<eventfd>'],
    [
      'wait',
      ['{ eventfd: {}, as: e }', '{ wait: { event: $e }, expect: { count: 2 } }'],
      { 'pages.eventfd': ok('token'), 'pages.eventfdRead': ok(2n) },
      'poll(3<eventfd>, POLLIN, 2s), read = counter 2',
    ],
    [
      'wait in vain',
      ['{ eventfd: {}, as: e }', '{ wait: { event: $e, within: 200ms }, expect: { errno: EAGAIN } }'],
      { 'pages.eventfd': ok('token'), 'pages.eventfdRead': fail('EAGAIN') },
      'poll(3<eventfd>, POLLIN, 200ms), read = -1 EAGAIN',
    ],
    [
      'sysfs_write',
      ['sysfs_write: { path: /sys/x, data: abc }'],
      { 'groups.sysfsWrite': ok(3) },
      'write(/sys/x, "abc") = 3',
    ],
    [
      'chmod',
      ["chmod: { path: /dev/x, mode: '0666' }"],
      { 'groups.chmod': ok(undefined) },
      'chmod("/dev/x", 0666) = 0',
    ],
    [
      'an ioctl with a number',
      [IOMMUFD, '{ ioctl: { fd: $fd, name: VFIO_SET_IOMMU, arg: 3 }, expect: { ret: 0 } }'],
      { 'sys.ioctl': { errno: 0, ret: 0, writes: [], file: undefined } },
      'ioctl(3</dev/iommu>, VFIO_SET_IOMMU, 3) = 0',
    ],
    [
      'an ioctl with the fd of a file',
      [IOMMUFD, 'ioctl: { fd: $fd, name: VFIO_GROUP_SET_CONTAINER, arg: $fd }'],
      { 'sys.ioctl': { errno: 0, ret: 0, writes: [], file: undefined } },
      'ioctl(3</dev/iommu>, VFIO_GROUP_SET_CONTAINER, 3</dev/iommu>) = 0',
    ],
    [
      'an ioctl with a text, whose result is a file of another service',
      [
        IOMMUFD,
        "{ ioctl: { fd: $fd, name: VFIO_GROUP_GET_DEVICE_FD, arg: '0000:03:00.0' }, as: dev }",
        'dup: { fd: $dev }',
      ],
      {
        'sys.ioctlFile': {
          errno: 0,
          ret: 0,
          writes: [],
          file: { token: 't', kind: 'device', owner: 'device:0000:03:00_0' },
        },
      },
      'dup(4<0000:03:00.0>) = 5<0000:03:00.0>',
    ],
    [
      'sysfs_read',
      ['{ sysfs_read: { path: /sys/x }, expect: { text: abc } }'],
      { 'groups.sysfsRead': ok('abc\n') },
      'read(/sys/x) = "abc"',
    ],
    ['readlink', ['readlink: { path: /sys/x }'], { 'groups.readlink': ok('../y') }, 'readlink(/sys/x) = "../y"'],
    [
      'listdir',
      ['{ listdir: { path: /sys/x }, expect: { entries: [a, b] } }'],
      { 'groups.listdir': ok(['a', 'b']) },
      'getdents(/sys/x) = [a, b]',
    ],
    [
      'setrlimit',
      ['setrlimit: { memlock: 1MiB }'],
      { 'pages.setrlimit': ok(undefined) },
      'setrlimit(RLIMIT_MEMLOCK, 1 MiB) = 0',
    ],
    [
      'status',
      ['{ status: {}, expect: { vmPinned: 4KiB, vmLocked: 0, userLocked: 8KiB } }'],
      { 'pages.status': ok({ pid: 1, vmLockedKb: 0, vmPinnedKb: 4, userLockedPages: 2 }) },
      'read(/proc/self/status) = VmLck 0, VmPin 4 KiB; charged to the user: 8 KiB',
    ],
    [
      'faults',
      [
        "{ faults: { device: '0000:41:00.0' }, expect: { faults: [{ iova: 0x5000, write: true, reason: not mapped }] } }",
      ],
      { 'iommu.faults': [{ bdf: 'x', iova: 0x5000n, write: true, reason: 'not mapped' }] },
      'IOMMU event log of 0000:41:00.0 = write at 0x5000: not mapped',
    ],
    [
      'a fault of a device',
      ["fault: { device: '0000:41:00.0', kind: dma-storm, iova: 0x5000, count: 3, write: true }"],
      { 'lab.fault': { error: '' } },
      'fault of 0000:41:00.0: dma-storm iova=20480 count=3 write=true = done',
    ],
    [
      'a fault that cannot be',
      ["{ fault: { device: '0000:41:00.0', kind: clear }, expect: { refused: 'No.' } }"],
      { 'lab.fault': { error: 'No.' } },
      'fault of 0000:41:00.0: clear = No.',
    ],
    ['exit', ['exit: {}'], {}, 'kill(vmm, SIGKILL) = gone'],
    [
      'an ioctl that fails',
      [IOMMUFD, '{ ioctl: { fd: $fd, name: IOMMU_DESTROY, in: { id: 7 } }, expect: { errno: ENOENT } }'],
      { 'sys.ioctl': ioctlAnswer(2) },
      'ioctl(3</dev/iommu>, IOMMU_DESTROY, {id=7}) = -1 ENOENT',
    ],
    [
      'an ioctl without argument',
      [IOMMUFD, 'ioctl: { fd: $fd, name: VFIO_DEVICE_RESET }'],
      { 'sys.ioctl': ioctlAnswer(0) },
      'ioctl(3</dev/iommu>, VFIO_DEVICE_RESET) = 0',
    ],
    [
      'flags without what they have in common',
      [
        IOMMUFD,
        'ioctl: { fd: $fd, name: VFIO_DEVICE_SET_IRQS, in: { flags: VFIO_IRQ_SET_DATA_EVENTFD|VFIO_IRQ_SET_ACTION_TRIGGER, count: 1 }, tail: { s32: [$fd] } }',
      ],
      { 'sys.ioctl': ioctlAnswer(0) },
      'ioctl(3</dev/iommu>, VFIO_DEVICE_SET_IRQS, {flags=DATA_EVENTFD|ACTION_TRIGGER, count=1, tail=[3</dev/iommu>]}) = 0',
    ],
  ];
  test.each(rows)('%s', async (_name, steps, script, words) => {
    const ran = await run(steps, script);
    expect(ran.result.failure?.message).toBeUndefined();
    expect(transcript(ran).at(-1)).toBe(words);
  });
});

test('a field that the kernel wrote is shown and can be bound', async () => {
  const write = ({ segments }: { segments: Segment[] }) =>
    ioctlAnswer(0, 0, [{ va: segments[0]!.va, bytes: encode(iommu_ioas_alloc, { size: 12, out_ioas_id: 5 }) }]);
  const alloc = '{ ioctl: { fd: $fd, name: IOMMU_IOAS_ALLOC }, bind: { out_ioas_id: ioas } }';
  const ran = await run([IOMMUFD, alloc, '{ close: { fd: $ioas }, expect: { errno: EBADF } }'], { 'sys.ioctl': write });
  expect(transcript(ran).slice(1)).toEqual([
    'ioctl(3</dev/iommu>, IOMMU_IOAS_ALLOC, {}) = 0 {out_ioas_id=5}',
    'close(5) = -1 EBADF',
  ]);
});

test('structs behind a pointer come back up to the last one that was written', async () => {
  const write = ({ segments }: { segments: Segment[] }) => {
    const [head, list] = segments;
    const out = { size: 32, ioas_id: 1, num_iovas: 1, allowed_iovas: BigInt(list!.va), out_iova_alignment: 4096n };
    return ioctlAnswer(0, 0, [
      { va: head!.va, bytes: encode(iommu_ioas_iova_ranges, out) },
      { va: list!.va, bytes: encode(iommu_iova_range, { start: 0n, last: 0xffffn }) },
    ]);
  };
  const step =
    '{ ioctl: { fd: $fd, name: IOMMU_IOAS_IOVA_RANGES, in: { ioas_id: 1, num_iovas: 4, allowed_iovas: { count: 4 } } }, expect: { out: { allowed_iovas: [{ start: 0, last: 0xffff }] } } }';
  const ran = await run([IOMMUFD, step], { 'sys.ioctl': write });
  expect(transcript(ran)[1]).toBe(
    'ioctl(3</dev/iommu>, IOMMU_IOAS_IOVA_RANGES, {ioas_id=1, num_iovas=4, allowed_iovas=[room for 4]}) = 0 {num_iovas=1, allowed_iovas=[{start=0, last=0xffff}], out_iova_alignment=0x1000}',
  );
});

describe('numbers in paths are those of the running host', () => {
  const script: Script = {
    'groups.listdir': ok(['vfio4']),
    'groups.readlink': ok('../../kernel/iommu_groups/21'),
    'groups.sysfsRead': ok(''),
  };
  test.each([
    ['the cdev', '/dev/vfio/devices/{cdev:0000:41:00.0}', '/dev/vfio/devices/vfio4'],
    ['the group', '/dev/vfio/{group:0000:41:00.0}/x', '/dev/vfio/21/x'],
    ['both', '{cdev:a}{group:b}', 'vfio421'],
  ])('%s', async (_rule, path, resolved) =>
    expect(transcript(await run([`sysfs_read: { path: '${path}' }`], script))).toEqual([`read(${resolved}) = ""`]),
  );
  test('one that cannot be known names nothing', async () => {
    const nothing: Script = {
      'groups.listdir': fail('ENOENT'),
      'groups.readlink': fail('ENOENT'),
      'groups.sysfsRead': fail('ENOENT'),
    };
    const ran = await run(["{ sysfs_read: { path: '{cdev:a}/{group:b}' }, expect: { errno: ENOENT } }"], nothing);
    expect(transcript(ran)).toEqual(['read(NOCDEV/NOGROUP) = -1 ENOENT']);
  });
});

describe('the first unexpected answer ends the run', () => {
  test('with step, file, line, call, what was expected and what came', async () => {
    const { result, environment } = await run(['note: x', 'sysfs_read: { path: /sys/x }', 'note: never'], {
      'groups.sysfsRead': fail('EACCES'),
    });
    expect(result.transcript.map(({ ok: good }) => good)).toEqual([true, false]);
    expect(result.failure).toMatchObject({ step: 2, line: 7, expected: 'success', got: 'EACCES' });
    expect(result.failure!.message).toBe(
      'test.yaml:7: step 2 (vmm): read(/sys/x)\n  expected: success\n  got:      EACCES',
    );
    expect(environment.methods).toEqual(['groups.sysfsRead']);
  });

  test('a register that reads otherwise is one', async () => {
    const { result } = await run([IOMMUFD, 'pread: { fd: $fd, region: bar0, at: 0, u8: 1 }'], {
      'sys.pread': ok(Uint8Array.of(2)),
    });
    expect(result.failure).toMatchObject({ expected: 'value 1', got: 'value 2' });
  });

  test('a lab that does not answer is one', async () => {
    const { result } = await run(['sysfs_read: { path: /sys/x }'], {
      'groups.sysfsRead': () => {
        throw new Error('no answer from groups');
      },
    });
    expect(result.failure).toMatchObject({ expected: 'an answer', got: 'no answer from groups' });
  });

  test.each([
    [
      'a fill beyond what one message carries',
      'write: { at: 0, fill: { length: 262145, value: 0 } }',
      /262145 is 0x40001: this call takes 0 to 0x40000/,
    ],
    ['a negative address', 'munmap: { at: -1, length: 1 }', /-1 is -0x1: this call takes 0 to/],
    ['an address beyond 2^53', 'munmap: { at: 0x20000000000000, length: 1 }', /this call takes 0 to 0x1fffffffffffff/],
    [
      'an offset behind the region',
      'pread: { fd: 3, region: bar0, at: 0x10000000000, u8: 0 }',
      /this call takes 0 to 0xffffffffff/,
    ],
  ])('%s is one, and nothing is sent', async (_rule, step, says) => {
    const { result, environment } = await run([step]);
    expect(result.failure!.got).toMatch(says);
    expect(environment.methods).toEqual([]);
  });

  test('the largest fill is sent', async () => {
    const sent: number[] = [];
    const memWrite = ({ data }: { data: Uint8Array }) => (sent.push(data.length), ok(undefined));
    await run(['write: { at: 0, fill: { length: 256KiB, value: 0 } }'], { 'pages.memWrite': memWrite });
    expect(sent).toEqual([262144]);
  });

  test('a mistake in our own code is none: it is thrown', async () => {
    await expect(
      run(['sysfs_read: { path: /sys/x }'], {
        'groups.sysfsRead': () => {
          throw new TypeError('ours');
        },
      }),
    ).rejects.toThrow('ours');
  });
});

describe('a crash', () => {
  const step =
    '{ sysfs_read: { path: /sys/x }, crash: { service: groups, method: groups.sysfsRead, nth: 2, at: answer, down: 1s } }';
  const script: Script = { 'groups.sysfsRead': ok('x') };

  test('is arranged before the call, and the step ends when it is over', async () => {
    const environment = new FakeEnvironment(script);
    let back = false;
    environment.crashed = new Promise((resolve) => setTimeout(() => ((back = true), resolve()), 5));
    const { result } = await run([step], script, environment);
    expect({ ok: result.ok, back }).toEqual({ ok: true, back: true });
    expect(environment.crashes).toEqual([
      { service: 'groups', method: 'groups.sysfsRead', nth: 2, at: 'answer', downMs: 1000 },
    ]);
  });

  test('that never comes ends the run with what to look at', async () => {
    const environment = new FakeEnvironment(script);
    environment.crashed = new Promise(() => undefined);
    const { result } = await run([step], script, environment);
    expect(result.failure!.got).toMatch(
      /groups did not crash: it saw no groups.sysfsRead number 2 .* Is the message right/,
    );
    expect(environment.now).toBeGreaterThanOrEqual(11_000);
  });
});

describe('check', () => {
  const figures = { pages: { pins: 0, stores: 3 } };
  test('figures as expected and no broken invariant', async () => {
    const ran = await run(
      ['check: { figures: { pages.pins: 0 }, invariants: hold }'],
      {},
      new FakeEnvironment({}, figures),
    );
    expect(transcript(ran)).toEqual(['look into the services = pages.pins 0, invariants hold']);
  });
  test.each([
    ['another figure', 'check: { figures: { pages.stores: 0 } }', 'figures.pages.stores 3'],
    [
      'a figure that there is not',
      'check: { figures: { pages.pin: 0 } }',
      'figures.pages.pin no such figure of pages. Did you mean pins?',
    ],
  ])('%s ends the run', async (_rule, step, got) => {
    const { result } = await run([step], {}, new FakeEnvironment({}, figures));
    expect(result.failure!.got).toBe(got);
  });
  test('a broken invariant ends the run, with the service that reports it', async () => {
    const environment = new FakeEnvironment();
    environment.broken['iommu'] = ['I01: a hole'];
    const { result } = await run(['check: { invariants: hold }'], {}, environment);
    expect(result.failure!.got).toBe('invariants iommu: I01: a hole');
  });
});

test('the observer hears of the host, then of every step before and after it', async () => {
  const heard: string[] = [];
  const observer: Observer = {
    hostMade: ({ groups }) => heard.push(`host ${groups}`),
    stepBegins: ({ number }, call) => heard.push(`begin ${number} ${call}`),
    stepEnds: ({ step, say, means }) => heard.push(`end ${step} ${say} ${means}`),
  };
  await run(['note: a', '{ exit: {}, say: now, means: over }'], {}, new FakeEnvironment(), observer);
  expect(heard).toEqual([
    'host 73',
    'begin 1 a',
    'end 1 undefined undefined',
    'begin 2 kill(vmm, SIGKILL)',
    'end 2 now over',
  ]);
});
