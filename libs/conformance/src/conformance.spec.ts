import { join } from 'node:path';
import { readTraceFile, traceFiles } from './collect.js';
import { conformance } from './conformance.js';
import { CONFORMANCE_FOLDER, machineNamed } from './machines.js';
import { inWords, MAX_MISMATCHES, Tally } from './report.js';
import type { Mismatch } from './run-trace.js';
import { readTrace } from './read-trace.js';
import { runOnFreshHost } from './trace-host.js';

const TRACES = join(CONFORMANCE_FOLDER, 'traces');
const header = { format: 'vfio-oracle-trace/1', name: 't', title: '', machine: 'B-type1', kernel: '6.12.1', tags: [] };
const program = (steps: object[], more: object = {}) =>
  readTrace(
    [{ ...header, ...more }, ...steps.map((s, i) => ({ i, ...s }))].map((l) => JSON.stringify(l)).join('\n'),
    't',
  );

describe('recorded answers of real kernels', () => {
  const traces = traceFiles([TRACES]).flatMap(readTraceFile);

  it('are there', () => expect(traces.length).toBeGreaterThanOrEqual(15));

  it.each(traces.map((trace) => [`${trace.kernel.slice(0, 4)} ${trace.machine} ${trace.name}`, trace] as const))(
    '%s',
    async (_name, trace) => {
      const report = await runOnFreshHost(trace);
      expect(report.mismatches.map(inWords)).toEqual([]);
      expect(report.stepsMatched).toBe(trace.steps.length);
    },
  );
});

describe('a run', () => {
  it('adds up what the traces report, in the form for programs', async () => {
    const tally = await conformance([TRACES], { threads: 0, grep: 'attach' });
    const { total, groups } = tally;
    expect(tally.report()).toEqual({ ...total, mismatches: [] });
    expect(total.traces).toBeGreaterThan(0);
    expect(total).toMatchObject({ tracesMatched: total.traces, stepsMatched: total.steps });
    expect([...groups.keys()]).toContain('6.12 B-type1 b');
  });

  it('says which path is not there', async () => {
    await expect(conformance(['/no/such/folder'], { threads: 0 })).rejects.toThrow('/no/such/folder: no such file');
  });
});

describe('differences', () => {
  it('are reported with trace, step, field, and both answers', async () => {
    const report = await runOnFreshHost(
      program([
        { op: 'open', path: '/dev/iommu', flags: 'O_RDWR', as: 'ifd', ret: '$ifd' },
        { op: 'ioctl', fd: '$ifd', req: 'IOMMU_DESTROY', in: { id: 7 }, ret: 0 },
      ]),
    );
    expect(report).toMatchObject({ steps: 2, stepsMatched: 1 });
    const tally = new Tally();
    tally.add('g', report);
    expect(tally.report()).toEqual({
      traces: 1,
      tracesMatched: 0,
      steps: 2,
      stepsMatched: 1,
      mismatches: [
        { trace: 't', step: 1, field: 'ret', expected: 0, got: -1 },
        { trace: 't', step: 1, field: 'errno', expected: null, got: 'ENOENT' },
      ],
    });
    expect(tally.causes()).toEqual([
      { cause: 'IOMMU_DESTROY: errno: none, got ENOENT', count: 1, first: 1, example: 't:1' },
    ]);
  });

  it('what the lab has not got is said, never passed over', async () => {
    const report = await runOnFreshHost(program([{ op: 'madvise', addr: 0, len: 1, advice: 'dontneed', ret: 0 }]));
    expect(report.mismatches[0]).toMatchObject({ field: 'ret', got: -1, lacks: 'madvise(dontneed)' });
  });

  it('an error of the trace is one of its step', async () => {
    const report = await runOnFreshHost(program([{ op: 'ioctl', fd: 3, req: 'NOPE', ret: 0 }]));
    expect(report.mismatches).toMatchObject([
      { step: 0, field: 'lab', got: 'the trace is wrong: req: "NOPE" is no ioctl' },
    ]);
  });

  it.each([
    ['a machine that is not described', { machine: 'Z-none' }, 'machine "Z-none" is not described'],
    ['a kernel without a profile', { kernel: '2.6.9' }, 'no profile of the lab is that release'],
  ])('%s: every step counts as not matched', async (_name, more, why) => {
    const report = await runOnFreshHost(program([{ op: 'sleep', ms: 1, ret: 0 }], more));
    expect(report).toMatchObject({ steps: 1, stepsMatched: 0 });
    expect(report.mismatches[0]!.got).toContain(why);
  });

  it('the list of mismatches is cut at its bound, the counts are not', () => {
    const mismatches = Array.from({ length: MAX_MISMATCHES + 1 }, (_, step): Mismatch => ({
      trace: 't',
      step,
      field: 'ret',
      expected: 0,
      got: 1,
      words: 'close(3)',
    }));
    const tally = new Tally();
    tally.add('g', { trace: 't', steps: mismatches.length, stepsMatched: 0, mismatches, deviations: [] });
    expect(tally.report().mismatches).toHaveLength(MAX_MISMATCHES);
    expect(tally.causes()[0]).toMatchObject({ count: MAX_MISMATCHES + 1, first: 1 });
  });
});

describe('programs', () => {
  it('a child has its parent’s files and memory, and takes its variables with it', async () => {
    const report = await runOnFreshHost(
      program([
        { op: 'open', path: '/dev/iommu', flags: 'O_RDWR', as: 'ifd', ret: '$ifd' },
        { op: 'mmap', len: 4096, flags: 'anon|private', prot: 'rw', as: 'buf', ret: 0 },
        { op: 'poke', addr: '$buf', width: 4, values: [7], ret: 0 },
        { op: 'fork', as: 'c1', ret: 0 },
        { op: 'peek', proc: 'c1', addr: '$buf', width: 4, count: 1, ret: 0, data: '07000000' },
        {
          op: 'ioctl',
          proc: 'c1',
          fd: '$ifd',
          req: 'IOMMU_IOAS_ALLOC',
          in: {},
          bind: { out_ioas_id: 'io' },
          ret: 0,
          vars: { io: 1 },
          out: { out_ioas_id: '$io' },
        },
        { op: 'ioctl', fd: '$ifd', req: 'IOMMU_DESTROY', in: { id: '$io' }, ret: -1, errno: 'ENOENT' },
        { op: 'ioctl', fd: '$ifd', req: 'IOMMU_DESTROY', in: { id: 1 }, ret: 0 },
      ]),
    );
    expect(report.mismatches.map(inWords)).toEqual([]);
  });

  it('a child shares what its parent shares: memory, memfds, eventfds; the rest is its own', async () => {
    const report = await runOnFreshHost(
      program([
        { op: 'mmap', len: 4096, flags: 'anon|shared', prot: 'rw', as: 'ours', ret: 0 },
        { op: 'mmap', len: 4096, flags: 'anon|private', prot: 'rw', as: 'mine', ret: 0 },
        { op: 'memfd_create', flags: '', as: 'mf', ret: '$mf' },
        { op: 'dup', fd: '$mf', as: 'twin', ret: '$twin' },
        { op: 'eventfd', as: 'ev', ret: '$ev' },
        { op: 'setrlimit', cur: 4096, max: 4096, ret: 0 },
        { op: 'fork', as: 'c1', keep: true, ret: 0 },
        { op: 'poke', proc: 'c1', addr: '$ours', width: 4, values: [1], ret: 0 },
        { op: 'poke', proc: 'c1', addr: '$mine', width: 4, values: [2], ret: 0 },
        { op: 'pwrite', proc: 'c1', fd: '$twin', off: 0, data: '030000', ret: 3 },
        { op: 'write', proc: 'c1', fd: '$ev', data: '0400000000000000', ret: 8 },
        { op: 'setuid', proc: 'c1', uid: 1000, ret: 0 },
        { op: 'mlock', proc: 'c1', addr: '$ours', len: 8192, ret: -1, errno: 'ENOMEM' },
        { op: 'peek', addr: '$ours', width: 4, count: 1, ret: 0, data: '01000000' },
        { op: 'peek', addr: '$mine', width: 4, count: 1, ret: 0, data: '00000000' },
        { op: 'pread', fd: '$mf', off: 0, len: 8, ret: 3, data: '030000' },
        { op: 'read', fd: '$ev', len: 8, ret: 8, data: '0400000000000000' },
      ]),
    );
    expect(report.mismatches.map(inWords)).toEqual([]);
  });

  it('a memfd has a length, a position and seals, and opens again below /proc/self/fd', async () => {
    const report = await runOnFreshHost(
      program([
        { op: 'memfd_create', flags: 'sealing', as: 'mf', ret: '$mf' },
        { op: 'write', fd: '$mf', data: '010203', ret: 3 },
        { op: 'read', fd: '$mf', len: 8, ret: 0 },
        { op: 'lseek', fd: '$mf', off: 1, whence: 0, ret: 1 },
        { op: 'read', fd: '$mf', len: 8, ret: 2, data: '0203' },
        { op: 'fallocate', fd: '$mf', mode: 3, off: 1, len: 1, ret: 0 },
        { op: 'open', path: '/proc/self/fd/{var:mf}', flags: 'O_RDONLY', as: 'ro', ret: '$ro' },
        { op: 'pread', fd: '$ro', off: 0, len: 8, ret: 3, data: '010003' },
        { op: 'mmap', fd: '$ro', len: 4096, flags: 'shared', prot: 'rw', as: 'm', ret: -1, errno: 'EACCES' },
        { op: 'mmap', fd: '$mf', off: 1, len: 4096, flags: 'shared', as: 'm', ret: -1, errno: 'EINVAL' },
        { op: 'ftruncate', fd: '$ro', len: 0, ret: -1, errno: 'EINVAL' },
        { op: 'ftruncate', fd: '$mf', len: -1, ret: -1, errno: 'EINVAL' },
        { op: 'seal', fd: '$mf', seals: 8, ret: 0 },
        { op: 'pwrite', fd: '$mf', off: 0, data: '00', ret: -1, errno: 'EPERM' },
        { op: 'eventfd', as: 'ev', ret: '$ev' },
        { op: 'ftruncate', fd: '$ev', len: 0, ret: -1, errno: 'EINVAL' },
        { op: 'fallocate', fd: '$ev', mode: 0, off: 0, len: 1, ret: -1, errno: 'ENODEV' },
        { op: 'seal', fd: '$ev', seals: 1, ret: -1, errno: 'EINVAL' },
        { op: 'lseek', fd: '$ev', off: 0, whence: 0, ret: -1, errno: 'ESPIPE' },
        { op: 'pread', fd: '$ev', off: 0, len: 8, ret: -1, errno: 'ESPIPE' },
        { op: 'mmap', fd: '$ev', len: 4096, flags: 'shared', as: 'm', ret: -1, errno: 'ENODEV' },
        { op: 'ftruncate', fd: 99, len: 0, ret: -1, errno: 'EBADF' },
        { op: 'poll', fd: -1, events: 1, timeout_ms: 1, ret: 0, data: '0000' },
        { op: 'read', fd: -1, len: 8, ret: -1, errno: 'BLOCKED' },
        { op: 'stat', path: '/dev/iommu', ret: 0, text: ['mode=660 type=chr rdev=10:257'] },
        { op: 'stat', path: '/dev/none', ret: -1, errno: 'ENOENT' },
      ]),
    );
    expect(report.mismatches.map(inWords)).toEqual([]);
  });

  it('an array may claim more room than there is memory, as long as nothing gets that far', async () => {
    const ranges = (count: number, more: object) => ({
      op: 'ioctl',
      fd: '$ifd',
      req: 'IOMMU_IOAS_IOVA_RANGES',
      in: { ioas_id: 1, num_iovas: count, allowed_iovas: '$buf+0xff0' },
      ...more,
    });
    const report = await runOnFreshHost(
      program([
        { op: 'open', path: '/dev/iommu', flags: 'O_RDWR', as: 'ifd', ret: '$ifd' },
        { op: 'mmap', len: 4096, flags: 'anon|shared', prot: 'rw', as: 'buf', ret: 0 },
        { op: 'ioctl', fd: '$ifd', req: 'IOMMU_IOAS_ALLOC', in: {}, ret: 0, out: { out_ioas_id: 1 } },
        ranges(1000, { ret: 0, out: { num_iovas: 1, out_iova_alignment: '0x1' } }),
        { op: 'peek', addr: '$buf+0xff0', width: 8, count: 2, ret: 0, data: '0000000000000000ffffffffffffffff' },
        { op: 'munmap', addr: '$buf', len: 4096, ret: 0 },
        ranges(1000, { ret: -1, errno: 'EFAULT' }),
      ]),
    );
    expect(report.mismatches.map(inWords)).toEqual([]);
  });

  it('a write that waits is BLOCKED, and ends when what it waits for is gone', async () => {
    const report = await runOnFreshHost(
      program([
        { op: 'open', path: '/dev/vfio/devices/{cdev:0000:00:03.0}', flags: 'O_RDWR', as: 'd', ret: '$d' },
        {
          op: 'sysfs_write',
          path: '/sys/bus/pci/drivers/vfio-pci/unbind',
          data: '0000:00:03.0',
          timeout_ms: 100,
          as: 'h',
          ret: -1,
          errno: 'BLOCKED',
        },
        { op: 'close', fd: '$d', ret: 0 },
        { op: 'sysfs_wait', handle: '$h', timeout_ms: 1000, ret: 12 },
      ]),
    );
    expect(report.mismatches.map(inWords)).toEqual([]);
  });
});

describe('machines', () => {
  it('differ from their topology where their file says so', () => {
    const driverOf = (machine: string, bdf: string): unknown =>
      (JSON.parse(machineNamed(machine).topology) as { functions: { bdf: string; driver?: string }[] }).functions.find(
        (each) => each.bdf === bdf,
      )!.driver;
    expect([driverOf('B-type1', '0000:02:00.0'), driverOf('C-amd', '0000:02:00.0')]).toEqual(['nvme', undefined]);
    expect(machineNamed('D-vtd-q11').topology).toContain('0000:08:00.0');
    const masked = (machine: string) => machineNamed(machine).configs.get('0000:01:00.0')!.slice(0x100, 0x110);
    expect(masked('C-smmuv3-72')).toEqual(masked('C-smmuv3').with(10, 0x40).with(11, 0x02));
  });

  it('describe config space as the traces read it', () => {
    expect(machineNamed('B-type1').configs.get('0000:00:03.0')!.slice(0, 4)).toEqual(
      Uint8Array.of(0x34, 0x12, 0xe8, 0x11),
    );
  });
});
