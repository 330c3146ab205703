import { differences } from './compare.js';
import { LOOSE_RULES, looseRule } from './loose.js';
import { done, failure } from './outcome.js';
import { same } from './same.js';
import type { Step, Trace } from './trace.js';

const trace = (steps: Step[], more: Partial<Trace> = {}): Trace => ({
  name: 't',
  title: '',
  machine: 'B-type1',
  kernel: '6.12.1',
  tags: [],
  family: undefined,
  nondeterministic: new Set(),
  file: 't.jsonl',
  steps,
  ...more,
});
const CONFIG = 7 * 2 ** 40;

describe('comparison', () => {
  it.each([
    ['the order of keys does not matter', { a: 1, b: 2 }, { b: 2, a: 1 }, true],
    ['a key too many does', { a: 1 }, { a: 1, b: 2 }, false],
    ['lists are in order', [1, 2], [2, 1], false],
    ['a list is no object', [], {}, false],
    ['a number is not its text', 1, '1', false],
  ])('%s', (_name, a, b, equal) => expect(same(a, b)).toBe(equal));

  it('reports each result that differs', () => {
    const step: Step = { i: 0, op: 'close', fd: 3, ret: 0 };
    expect(differences(trace([step]), step, failure('EBADF'))).toEqual([
      { field: 'ret', expected: 0, got: -1 },
      { field: 'errno', expected: undefined, got: 'EBADF' },
    ]);
  });

  it('a key that is input of the step is no result of it', () => {
    const step: Step = { i: 0, op: 'write', fd: 3, data: '00', ret: 1 };
    expect(differences(trace([step]), step, done(1))).toEqual([]);
  });
});

describe('loose rules', () => {
  it('each has a reason', () => {
    for (const { name, reason } of LOOSE_RULES) expect([name, reason.length > 20]).toEqual([name, true]);
  });

  it('the kernel log is not compared', () => {
    const step: Step = { i: 0, op: 'klog', ret: 3 };
    expect(differences(trace([step]), step, done(0))).toEqual([]);
  });

  it('a nondeterministic step is not compared, its neighbour is', () => {
    const steps: Step[] = [0, 1].map((i) => ({ i, op: 'close', fd: 3, ret: 0 }));
    const of = trace(steps, { nondeterministic: new Set([1]) });
    expect(steps.map((step) => differences(of, step, failure('EBADF')).length)).toEqual([2, 0]);
  });

  it('the interrupt line is loose on Arm only', () => {
    const step: Step = { i: 0, op: 'pread', fd: '$d', off: CONFIG + 0x3c, len: 1, ret: 1, data: '0b' };
    const ruleOn = (machine: string) => looseRule(trace([step], { machine }), step, 'data', '00')?.name;
    expect([ruleOn('C-smmuv3'), ruleOn('B-type1')]).toEqual(['interrupt line on Arm', undefined]);
  });

  it("the number of a mediated device's group is loose, the rest of the link is not", () => {
    const [path, data] = ['/sys/bus/mdev/devices/u/iommu_group', '../kernel/iommu_groups/15'];
    const step: Step = { i: 0, op: 'readlink', path, ret: 0, data };
    const rule = (got: string, of = step) => looseRule(trace([of]), of, 'data', got)?.name;
    expect(rule('../kernel/iommu_groups/9')).toBe('groups made on the fly');
    expect([rule('../kernel/groups/15'), rule('../kernel/iommu_groups/x')]).toEqual([undefined, undefined]);
    expect(rule('../kernel/iommu_groups/9', { ...step, path: '/sys/bus/pci/devices/u/iommu_group' })).toBeUndefined();
  });

  it.each([
    ['another handle', 'f802e0fe', '1800e0fe', true],
    ['bit 15 of a handle is bit 2 of the address', '1c00e0fe', '1800e0fe', true],
    ['no remapped message', '0800e0fe', '1800e0fe', false],
    ['another address', 'f802f0fe', '1800e0fe', false],
    ['data', '01000000', '00000000', false],
    ['fewer words', '1800e0fe1800e0fe', '1800e0fe', false],
  ])('the table of MSI-X: %s', (_name, data, got, allowed) => {
    const step: Step = { i: 0, op: 'peek', addr: '$mx', width: 4, count: 1, ret: 0, data };
    expect(looseRule(trace([step]), step, 'data', got) !== undefined).toBe(allowed);
  });

  describe('DMA on D-amd-q11', () => {
    const store: Step = { i: 1, op: 'poke', addr: '$bar+0x98', width: 8, values: [1, 3] };
    const look = (i: number, data: string): Step => ({ i, op: 'peek', addr: '$b', width: 4, count: 1, ret: 0, data });
    const lost = (steps: Step[], machine = 'D-amd-q11') =>
      looseRule(trace(steps, { machine }), steps.at(-1)!, 'data', 'aabbccdd')?.name;

    it('is lost: there is what was there before', () => {
      expect(lost([look(0, '01020304'), store, look(2, '01020304')])).toBe('DMA on D-amd-q11');
      expect(lost([look(0, '01020304'), store, look(2, '00000000')])).toBeUndefined();
      expect(lost([{ ...store, i: 0 }, look(1, '00000000')])).toBe('DMA on D-amd-q11');
    });

    it('excuses nothing without DMA, or on other machines', () => {
      expect(lost([look(0, '00000000')])).toBeUndefined();
      expect(lost([{ ...store, i: 0 }, look(1, '01020304')], 'C-amd')).toBeUndefined();
    });
  });

  it('an interrupt that edu was left with is one more, at the first look after INTx was enabled', () => {
    const give = (index: number): Step => ({
      ...{ i: 0, op: 'ioctl', fd: '$d', req: 'VFIO_DEVICE_SET_IRQS', ret: 0 },
      ...{ in: { flags: 36, index, start: 0, count: 1 }, tail: { array: 's32', items: ['$e'] } },
    });
    const raise: Step = { i: 1, op: 'poke', addr: '$bar+0x60', width: 4, values: [1] };
    const read = (i: number, data: string): Step => ({ i, op: 'read', fd: '$e', len: 8, ret: 8, data });
    const loose = (steps: Step[], machine = 'C-smmuv3') =>
      looseRule(trace(steps, { machine }), steps.at(-1)!, 'data', '0100000000000000') !== undefined;
    expect(loose([give(0), raise, read(2, '0200000000000000')])).toBe(true);
    expect(loose([give(0), raise, read(2, '0300000000000000')])).toBe(false);
    expect(loose([give(1), raise, read(2, '0200000000000000')])).toBe(false);
    expect(loose([give(0), raise, read(2, '0200000000000000')], 'B-type1')).toBe(false);
    const again = [give(0), raise, read(2, '0100000000000000'), read(3, '0200000000000000')];
    expect(loose(again)).toBe(false);
  });

  it('an fd is "fd" when its name is given again', () => {
    const alloc = (i: number, name: string): Step => ({
      ...{ i, op: 'ioctl', req: 'IOMMU_FAULT_QUEUE_ALLOC', bind: { out_fault_fd: name }, ret: 0 },
      out: { out_fault_fd: 'fd' },
    });
    const loose = (...steps: Step[]) => looseRule(trace(steps), steps[0]!, 'out', { out_fault_fd: '$x' }) !== undefined;
    expect([loose(alloc(0, 'x'), alloc(1, 'x')), loose(alloc(0, 'x'), alloc(1, 'y'))]).toEqual([true, false]);
    expect(loose(alloc(0, 'x'), { ...alloc(1, 'x'), ret: -1, errno: 'EEXIST' })).toBe(false);
  });

  describe('leftovers in config space', () => {
    const open: Step = { i: 0, op: 'open', path: '/dev/vfio/devices/{cdev:0000:00:03.0}', flags: 'O_RDWR', as: 'd' };
    const write = (at: number, errno?: string): Step => ({
      i: 1,
      op: 'pwrite',
      fd: '$d',
      off: CONFIG + at,
      data: '00',
      ...(errno !== undefined && { errno }),
    });
    const read = (at: number): Step => ({ i: 2, op: 'pread', fd: '$d', off: CONFIG + at, len: 1, ret: 1, data: 'aa' });
    const loose = (second: Step, at: number) =>
      looseRule(trace([open, second, read(at)]), read(at), 'data', '00')?.name;

    it.each([
      ['a byte of no capability that the program has not written', write(0x90), 0x80, true],
      ['a write that failed has not written', write(0x80, 'EFAULT'), 0x80, true],
      ['a byte that the program has written', write(0x80), 0x80, false],
      ['a byte of the header', write(0x90), 0x10, false],
      ['a byte of a capability', write(0x90), 0x42, false],
    ])('%s', (_name, second, at, allowed) =>
      expect(loose(second, at)).toBe(allowed ? 'leftovers in config space' : undefined),
    );
  });
});
