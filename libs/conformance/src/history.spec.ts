import { historyOf } from './history.js';
import { readTrace } from './read-trace.js';
import { runOnFreshHost } from './trace-host.js';

const BDF = '0001:00:01.0';
const header = {
  format: 'vfio-oracle-trace/1',
  name: 't',
  title: '',
  machine: 'P-pseries',
  kernel: '6.12.1',
  tags: [],
};
const create = (errno?: string, more: object = {}) => ({
  op: 'ioctl',
  fd: '$ct',
  req: 'VFIO_IOMMU_SPAPR_TCE_CREATE',
  in: { page_shift: 16, window_size: 0x1000_0000, levels: 1, ...more },
  ...(errno === undefined ? { ret: 0, out: { start_addr: '0x800000000000000' } } : { ret: -1, errno }),
});
const trace = (calls: object[], machine = 'P-pseries') =>
  readTrace(
    [
      { ...header, machine },
      { op: 'open', path: '/dev/vfio/vfio', flags: 'O_RDWR', as: 'ct', ret: '$ct' },
      {
        op: 'open',
        path: `/dev/vfio/{group:${BDF}}`,
        flags: 'O_RDWR',
        as: 'g',
        ret: '$g',
        resolved: '/dev/vfio/1',
      },
      { op: 'ioctl', fd: '$g', req: 'VFIO_GROUP_SET_CONTAINER', in: { fd: '$ct' }, ret: 0 },
      { op: 'ioctl', fd: '$ct', req: 'VFIO_SET_IOMMU', arg: 7, ret: 0 },
      { op: 'ioctl', fd: '$ct', req: 'VFIO_IOMMU_SPAPR_TCE_REMOVE', in: { start_addr: 0 }, ret: 0 },
      ...calls,
    ]
      .map((line, i) => JSON.stringify(i === 0 ? line : { i: i - 1, ...line }))
      .join('\n'),
    't',
  );

it('a group that the platform refuses from the start was refused before the trace began', async () => {
  const refused = trace([create('EINVAL', { levels: 2 }), create('ENODEV')]);
  expect(historyOf(refused)[1]).toMatchObject({ op: 'open', path: `/dev/vfio/{group:${BDF}}` });
  expect(await runOnFreshHost(refused)).toMatchObject({ mismatches: [], stepsMatched: refused.steps.length });
});

it('one that is refused later was not', async () => {
  const fresh = trace([create(), create('ENODEV')]);
  expect(historyOf(fresh)).toEqual([]);
  expect(await runOnFreshHost(fresh)).toMatchObject({ mismatches: [], stepsMatched: fresh.steps.length });
});

it('a history answers nothing: what the kernel would not refuse differs as ever', async () => {
  const wrong = trace([create('ENODEV'), create()]);
  expect((await runOnFreshHost(wrong)).mismatches).toMatchObject([
    { step: 6, field: 'ret' },
    { step: 6, field: 'errno', got: 'ENODEV' },
    { step: 6, field: 'out' },
  ]);
});

it('where no hypervisor is, none refuses', () => {
  expect(historyOf(trace([create('ENODEV')], 'P-powernv9'))).toEqual([]);
});
