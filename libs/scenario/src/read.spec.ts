import { readFileSync } from 'node:fs';
import { ScenarioError } from './errors.js';
import { readScenario } from './read.js';
import { MAX_TEXT } from './source.js';
import { scenarioText } from './testing/fake-environment.js';

/** Problems of a text as `line path: what. hint`. */
function problems(text: string): string[] {
  try {
    readScenario(text, 'test.yaml');
    return [];
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw error;
    return error.problems.map(({ line, path, what, hint }) => `${line} ${path}: ${what}. ${hint}`);
  }
}

const FIRST_STEP = 6;

describe('a wrong step is reported at its line and field, with what would be right', () => {
  const rows: [rule: string, step: string, place: string, says: RegExp][] = [
    ['a mistyped action', 'opne: { path: /dev/iommu }', 'steps[0].opne', /unknown key "opne". Did you mean open\?/],
    ['no action', 'say: nothing happens', 'steps[0]', /the step has no action. Give one of: note, open,/],
    ['two actions', '{ note: a, exit: {} }', 'steps[0].exit', /the step has 2 actions: note, exit/],
    ['a mistyped argument', 'open: { pth: /dev/iommu }', 'steps[0].open.pth', /unknown key "pth". Did you mean path\?/],
    ['a missing argument', 'open: {}', 'steps[0].open', /path is missing/],
    ['an argument of the wrong type', 'open: { path: 5 }', 'steps[0].open.path', /5 is no string/],
    [
      'an unknown page size',
      'mmap: { length: 1, pages: 2GiB }',
      'steps[0].mmap.pages',
      /"2GiB" is not known here. Did you mean 2MiB\?/,
    ],
    [
      'a number that is none',
      'mmap: { length: 16 gigs }',
      'steps[0].mmap.length',
      /"16 gigs" cannot stand here. Integer, hex/,
    ],
    ['a fraction', 'mmap: { length: 1.5 }', 'steps[0].mmap.length', /1.5 cannot stand here/],
    [
      'an unknown unit of time',
      'wait: { event: 3, within: 5min }',
      'steps[0].wait.within',
      /"5min" cannot stand here. Time/,
    ],
    [
      'a region of no device',
      'mmap: { length: 4KiB, region: bar0 }',
      'steps[0].mmap',
      /half of what is mapped is missing. Give both `fd` and `region`/,
    ],
    [
      'pages of a device',
      'mmap: { length: 4KiB, fd: 3, region: bar0, pages: 2MiB }',
      'steps[0].mmap.pages',
      /a device has no pages to choose/,
    ],
    ['nothing to send', 'send: { fd: 3 }', 'steps[0].send', /what to transfer is missing. Give exactly one of: hex/],
    ['odd hex digits', 'write: { at: 0, hex: abc }', 'steps[0].write.hex', /"abc" cannot stand here. Bytes as hex/],
    [
      'an unknown ioctl',
      'ioctl: { fd: 3, name: IOMMU_IOAS_MAPP }',
      'steps[0].ioctl.name',
      /there is no ioctl "IOMMU_IOAS_MAPP". Did you mean IOMMU_IOAS_MAP\?/,
    ],
    [
      'an unknown field',
      'ioctl: { fd: 3, name: IOMMU_IOAS_MAP, in: { lenght: 1 } }',
      'steps[0].ioctl.in.lenght',
      /struct iommu_ioas_map has no field "lenght". Did you mean length\?/,
    ],
    [
      'an unknown constant',
      'ioctl: { fd: 3, name: IOMMU_IOAS_MAP, in: { flags: IOMMU_IOAS_MAP_READBLE } }',
      'steps[0].ioctl.in.flags',
      /there is no constant "IOMMU_IOAS_MAP_READBLE". Did you mean IOMMU_IOAS_MAP_READABLE\?/,
    ],
    [
      'a buffer for a number',
      'ioctl: { fd: 3, name: IOMMU_IOAS_MAP, in: { flags: { zero: 4 } } }',
      'steps[0].ioctl.in.flags',
      /a buffer cannot stand here. flags is no pointer/,
    ],
    [
      'structs behind a pointer to bytes',
      'ioctl: { fd: 3, name: IOMMU_IOAS_MAP, in: { user_va: [{ start: 1 }] } }',
      'steps[0].ioctl.in.user_va',
      /structs cannot stand here/,
    ],
    [
      'a list for a plain field',
      'ioctl: { fd: 3, name: IOMMU_IOAS_MAP, in: { length: [1, 2] } }',
      'steps[0].ioctl.in.length',
      /length is no array/,
    ],
    [
      'a number that is too large for its field',
      'ioctl: { fd: 3, name: IOMMU_IOAS_MAP, in: { ioas_id: 0x100000000 } }',
      'steps[0].ioctl.in.ioas_id',
      /4294967296 does not fit into ioas_id. The field has 32 bits/,
    ],
    [
      'an unknown field of a struct behind a pointer',
      'ioctl: { fd: 3, name: IOMMU_IOAS_ALLOW_IOVAS, in: { allowed_iovas: [{ frist: 1 }] } }',
      'steps[0].ioctl.in.allowed_iovas[0].frist',
      /struct iommu_iova_range has no field "frist"/,
    ],
    [
      'fields for an ioctl without argument',
      'ioctl: { fd: 3, name: VFIO_DEVICE_RESET, in: { a: 1 } }',
      'steps[0].ioctl',
      /VFIO_DEVICE_RESET takes no struct/,
    ],
    [
      'an argument that is missing',
      'ioctl: { fd: 3, name: VFIO_SET_IOMMU }',
      'steps[0].ioctl',
      /VFIO_SET_IOMMU takes a number/,
    ],
    [
      'a text that is missing',
      'ioctl: { fd: 3, name: VFIO_GROUP_GET_DEVICE_FD }',
      'steps[0].ioctl',
      /VFIO_GROUP_GET_DEVICE_FD takes a text/,
    ],
    [
      'an argument of an ioctl without',
      'ioctl: { fd: 3, name: VFIO_DEVICE_RESET, arg: 1 }',
      'steps[0].ioctl.arg',
      /VFIO_DEVICE_RESET takes no argument/,
    ],
    [
      'an argument beside a struct',
      'ioctl: { fd: 3, name: IOMMU_IOAS_ALLOC, arg: 1 }',
      'steps[0].ioctl.arg',
      /IOMMU_IOAS_ALLOC takes a struct/,
    ],
    [
      'an unset variable as an argument',
      'ioctl: { fd: 3, name: VFIO_GROUP_SET_CONTAINER, arg: $nobody }',
      'steps[0].ioctl.arg',
      /variable \$nobody is not set by any step before/,
    ],
    ['a mode that is not octal', "chmod: { path: /dev/iommu, mode: '888' }", 'steps[0].chmod.mode', /mode/],
    [
      'an unset variable',
      'close: { fd: $nobody }',
      'steps[0].close.fd',
      /variable \$nobody is not set by any step before/,
    ],
    [
      'an unknown process',
      '{ note: a, process: vm }',
      'steps[0].process',
      /there is no process "vm". Did you mean vmm\?/,
    ],
    ['a grant to nobody', 'grant: { fd: 3, to: gest }', 'steps[0].grant.to', /Did you mean guest\?/],
    [
      'an unknown errno',
      '{ exit: {}, expect: { errno: EBUSSY } }',
      'steps[0].expect.errno',
      /there is no errno "EBUSSY". Did you mean EBUSY\?/,
    ],
    [
      'an expectation the action cannot meet',
      '{ exit: {}, expect: { data: "00" } }',
      'steps[0].expect.data',
      /exit answers no data/,
    ],
    [
      'an unknown field in an expectation',
      '{ ioctl: { fd: 3, name: IOMMU_IOAS_ALLOC }, expect: { out: { id: 1 } } }',
      'steps[0].expect.out.id',
      /has no field "id"/,
    ],
    ['a name for nothing', '{ exit: {}, as: x }', 'steps[0].as', /exit answers nothing that could be named/],
    [
      'bind without a struct',
      '{ exit: {}, bind: { a: b } }',
      'steps[0].bind',
      /exit has no struct to take fields from/,
    ],
    [
      'bind of an unknown field',
      '{ ioctl: { fd: 3, name: IOMMU_IOAS_ALLOC }, bind: { ioas_id: x } }',
      'steps[0].bind.ioas_id',
      /Did you mean out_ioas_id\?/,
    ],
    [
      'a crash of no service',
      '{ exit: {}, crash: { service: pgaes, method: pages.mmap } }',
      'steps[0].crash.service',
      /there is no service "pgaes". Did you mean pages\?/,
    ],
    [
      'a crash at no message',
      '{ exit: {}, crash: { service: pages, method: pages.storeCreat } }',
      'steps[0].crash.method',
      /Did you mean pages.storeCreate\?/,
    ],
    [
      'a crash where nothing is called',
      '{ note: a, crash: { service: pages, method: pages.pin } }',
      'steps[0].crash',
      /note asks no service of the host/,
    ],
    [
      'a write of nothing',
      'pwrite: { fd: 3, region: bar0, at: 0 }',
      'steps[0].pwrite',
      /what to transfer is missing. Give exactly one of: hex/,
    ],
    [
      'a write of two things',
      'pwrite: { fd: 3, region: bar0, at: 0, u8: 1, u16: 1 }',
      'steps[0].pwrite',
      /u8 and u16 exclude each other/,
    ],
    [
      'a region that is none',
      'pread: { fd: 3, region: bar9, at: 0, u8: 1 }',
      'steps[0].pread.region',
      /"bar9" cannot stand here/,
    ],
    [
      'a figure without service',
      'check: { figures: { pinned: 0 } }',
      'steps[0].check.figures.pinned',
      /"pinned" is no figure. Write SERVICE.NAME/,
    ],
    [
      'a device that is no BDF',
      'faults: { device: gpu }',
      'steps[0].faults.device',
      /"gpu" cannot stand here. Address of a PCI function/,
    ],
  ];
  test.each(rows)('%s', (_rule, step, place, says) => {
    const found = problems(scenarioText(step));
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(says);
    expect(found[0]!.startsWith(`${FIRST_STEP} ${place}: `)).toBe(true);
  });
});

describe('a wrong file is reported', () => {
  const good = scenarioText('note: hello');
  const rows: [rule: string, text: string, says: RegExp][] = [
    ['no YAML', 'vfiolab: [', /^1 : .*This is no valid YAML/],
    ['YAML with a tab', 'vfiolab: scenario/1\n\ttitle: x', /^2 : /],
    ['an anchor that is not there', 'vfiolab: *nobody', /nobody/],
    [
      'another format',
      good.replace('scenario/1', 'scenario/9'),
      /^1 vfiolab: "scenario\/9" is not known here. Write "scenario\/1"/,
    ],
    ['an unknown section', `${good}\nextras: 1`, /^7 extras: unknown key "extras"/],
    ['no title', good.replace('title: test', 'about: test'), /title is missing/],
    ['no steps', good.replace(/steps:[^]*/, 'steps: []'), /steps: a list must NOT have fewer than 1 items/],
    [
      'an unknown machine',
      good.replace('asus-fx505dt', 'asus-fx505d'),
      /^3 host.machine: there is no machine "asus-fx505d". Did you mean asus-fx505dt\?/,
    ],
    [
      'memory that is no multiple of a page',
      good.replace('1GiB', '4097'),
      /^3 host.memory: 4097 is no amount of memory/,
    ],
    ['memory by a variable', good.replace('1GiB', '$x'), /^3 host.memory: \$x is no amount of memory/],
    [
      'an unknown kernel',
      good.replace('memory: 1GiB', "profile: '5.4'"),
      /^3 host.profile: "5.4" is not known here. Use one of: 6.12, 7.2, 7.3\./,
    ],
    ['a process with capital letters', good.replace('vmm', 'VMM'), /^4 processes.VMM: the name "VMM" cannot be used/],
    [
      'a process that would make the host',
      good.replace('guest', 'operator2'),
      /^4 processes.operator2: a process cannot be called operator2/,
    ],
    ['a limit by a variable', good.replace('uid: 7', 'memlock: $x'), /^4 processes.guest.memlock: \$x is no limit/],
    ['a file that is too long', `${good}\n#${'x'.repeat(MAX_TEXT)}`, /Use at most 1048576/],
    ['a list instead of a scenario', '- 1', /a list is no object/],
    ['nothing', '', /null is no object/],
  ];
  test.each(rows)('%s', (_rule, text, says) => expect(problems(text).join('\n')).toMatch(says));
});

test('all problems of a file are reported at once, in their order', () => {
  const found = problems(scenarioText('close: { fd: $a }', 'close: { fd: $b }', 'ioctl: { fd: 3, name: NONE }'));
  expect(found.map((each) => each.split(' ')[0])).toEqual(['6', '7', '8']);
});

test('the message names file, line, column and field', () => {
  const text = scenarioText('close: { fd: $a }');
  expect(() => readScenario(text, 'some/where.yaml')).toThrow(
    /^some\/where\.yaml:6:18: steps\[0\]\.close\.fd: variable \$a is not set/,
  );
});

test('of very many problems the first are shown and the others counted', () => {
  const text = scenarioText(...Array.from({ length: 25 }, () => 'close: { fd: $a }'));
  expect(() => readScenario(text, 'f')).toThrow(/\.\.\. and 5 more$/);
});

describe('a variable is set', () => {
  test.each([
    ['by as', [`{ ${'eventfd: {}'}, as: fd }`, 'close: { fd: $fd }'], 0],
    [
      'by bind',
      ['{ ioctl: { fd: 3, name: IOMMU_IOAS_ALLOC }, bind: { out_ioas_id: x } }', 'close: { fd: $x+4KiB }'],
      0,
    ],
    [
      'not by a step that is expected to fail',
      ['{ eventfd: {}, as: fd, expect: { errno: EMFILE } }', 'close: { fd: $fd }'],
      1,
    ],
    ['not by a later step', ['close: { fd: $fd }', '{ eventfd: {}, as: fd }'], 1],
  ] as const)('%s', (_rule, steps, count) => expect(problems(scenarioText(...steps))).toHaveLength(count));
});

test('a note is text, whatever it looks like', () =>
  expect(problems(scenarioText("note: '$nobody'", 'note: NO_SUCH_CONSTANT'))).toEqual([]));

test('a process does nothing after its exit', () => {
  const found = problems(
    scenarioText(
      'exit: {}',
      'status: {}',
      '{ status: {}, process: guest }',
      '{ grant: { fd: 3, to: vmm }, process: guest }',
    ),
  );
  expect(found).toHaveLength(2);
  expect(found[0]).toMatch(/^7 steps\[1\]: process vmm has ended/);
  expect(found[1]).toMatch(/^9 steps\[3\].grant.to: process vmm has ended/);
});

describe('what is read', () => {
  test('defaults: the first process, root with its limit, 32 GiB, kernel 6.12', () => {
    const text = 'vfiolab: scenario/1\ntitle: t\nhost: { machine: asus-fx505dt }\nsteps: [{ note: x }]';
    const { host, processes, steps } = readScenario(text, 'f');
    expect(host).toMatchObject({
      memory: 32 * 2 ** 30,
      profile: '6.12',
      iommu: undefined,
      allowUnsafeInterrupts: false,
    });
    expect(processes).toEqual([{ name: 'main', uid: 0, caps: 0xff, memlock: 8 * 2 ** 20 }]);
    expect(steps[0]).toMatchObject({ number: 1, line: 4, action: 'note', process: 'main' });
  });

  test('what a host has more than others: KVM, memory cards', () => {
    const text =
      'vfiolab: scenario/1\ntitle: t\nhost: { machine: asus-fx505dt, kvm: groups, memoryCards: true }\nsteps: [{ note: x }]';
    expect(readScenario(text, 'f').host).toMatchObject({ kvm: 'groups', memoryCards: true });
  });

  test('capabilities: all for root, none for others, or those that are listed', () => {
    const text = scenarioText('note: x').replace(
      '{ vmm: {}, guest: { uid: 7 } }',
      '{ a: {}, b: { uid: 7 }, c: { caps: [CAP_SYS_RAWIO] }, d: { uid: 7, caps: all } }',
    );
    expect(readScenario(text, 'f').processes.map(({ caps }) => caps)).toEqual([0xff, 0, 2, 0xff]);
  });

  test('a crash has defaults, and a device is addressed by its BDF', () => {
    const crash = "{ exit: {}, crash: { service: 'device:0000:41:00.0', method: sys.pwrite } }";
    expect(readScenario(scenarioText(crash), 'f').steps[0]!.crash).toEqual({
      service: 'device:0000:41:00_0',
      method: 'sys.pwrite',
      nth: 1,
      at: 'request',
      downMs: 200,
    });
  });

  test('integers beyond 2^53 stay exact', () => {
    const [step] = readScenario(
      scenarioText('munmap: { at: 0xffffffffffffffff, length: 9007199254740993 }'),
      'f',
    ).steps;
    expect(step!.args).toEqual({ at: '0xffffffffffffffff', length: '0x20000000000001' });
  });

  test('a machine may lie beside the scenario', () => {
    const file = new URL('../../../test/machines/README.md', import.meta.url).pathname;
    const text = scenarioText('note: x').replace('asus-fx505dt', './asus-pn51.json');
    expect(readFileSync(readScenario(text, file).host.machineFile, 'utf8')).toContain('asus-pn51');
  });
});
