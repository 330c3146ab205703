import { type DeviceFault, faultOf, groupsApi, IOMMU, LAB } from '@vfiolab/core';
import { GroupsCore } from './groups-core.js';
import { SMALL_MACHINE } from './testing/machines.js';
import { sriovBench } from './testing/sriov-machine.js';

const [ALONE, PORT, CARD] = ['0000:00:03.0', '0000:00:06.0', '0000:01:00.0'];

function small(...[services, setup]: Partial<Parameters<typeof sriovBench>>) {
  const told: [string, string][] = [];
  const fault = ({ device, kind }: DeviceFault) => {
    told.push([device, kind]);
    return { error: '' };
  };
  const b = sriovBench(
    { ...services, device: { fault, remove: () => undefined, ...services?.device } },
    setup,
    SMALL_MACHINE,
  );
  return {
    ...b,
    told,
    cause: (device: string, kind: string, more: Partial<DeviceFault> = {}, from = LAB) =>
      b.bench.get(from, groupsApi.deviceFault, faultOf(device, kind, more)).error,
    rereads: () => {
      const { before, after } = b.bench.reread(new GroupsCore());
      expect(after).toEqual(before);
    },
  };
}

it('goes to the actor of a function that is bound to vfio-pci', () => {
  const { cause, told } = small();
  expect(cause(ALONE!, 'slow-link', { delay: 3 })).toBe('');
  expect(told).toEqual([[ALONE, 'slow-link']]);
});

it.each([
  ['of a native driver', CARD!, 'clear', /is bound to .*: faults reach functions that are bound to vfio-pci/],
  ['of a port', PORT!, 'stuck-reset', /is bound to pcieport/],
  [
    'that is not there',
    '0000:99:00.0',
    'clear',
    /^There is no function 0000:99:00.0. Bound to vfio-pci: 0000:00:03.0, /,
  ],
  ['without a link of its own', ALONE!, 'link-down', /has no link of its own/],
  ['without PCI Express', ALONE!, 'aer-fatal', /is not PCI Express/],
  ['without ATS', ALONE!, 'ats-timeout', /has no ATS/],
  ['without page requests', ALONE!, 'page-flood', /cannot ask for pages/],
])('of a function %s is refused', (_who, device, kind, words) => {
  const { cause, told } = small();
  expect([cause(device, kind), told]).toEqual([expect.stringMatching(words), []]);
});

it('comes from the lab alone', () => {
  const { cause } = small();
  expect(cause(ALONE!, 'clear', {}, IOMMU)).toBe('Only the lab causes faults.');
});

describe('a link', () => {
  /** The card below the port is vfio-pci's. */
  const below = () => {
    const b = small();
    b.unbind(CARD!);
    b.fs.write(`/sys/bus/pci/devices/${CARD}/driver_override`, 'vfio-pci');
    b.fs.write('/sys/bus/pci/drivers_probe', CARD!);
    return b;
  };

  it('goes down and comes up for what is below the port; what is down stays so over a restart', () => {
    const { cause, told, rereads, bench } = below();
    expect(cause(CARD!, 'link-down')).toBe('');
    expect(told).toEqual([[CARD, 'link-down']]);
    rereads();
    expect(bench.core.describe()).toContain(`links down: ${PORT}`);
    expect(cause(CARD!, 'link-down')).toBe(`The link of ${CARD} is down already.`);
    expect(cause(PORT!, 'link-up')).toBe('');
    expect(told.slice(1)).toEqual([[CARD, 'link-up']]);
    rereads();
    expect(cause(CARD!, 'link-up')).toBe(`The link of ${CARD} is not down.`);
  });

  it('is down for a driver that is bound meanwhile', () => {
    const { cause, told, unbind, fs } = below();
    cause(CARD!, 'link-down');
    unbind(CARD!);
    fs.write('/sys/bus/pci/drivers_probe', CARD!);
    expect(told).toEqual([
      [CARD, 'link-down'],
      [CARD, 'link-down'],
    ]);
  });

  it('that is cleared comes up too', () => {
    const { cause, told } = below();
    cause(CARD!, 'link-down');
    expect(cause(CARD!, 'clear')).toBe('');
    expect(told).toEqual([
      [CARD, 'link-down'],
      [CARD, 'link-up'],
      [CARD, 'clear'],
    ]);
  });
});

it('errors are reported to all functions of vfio-pci behind the port', () => {
  const { cause, told, unbind, fs } = small();
  unbind(CARD!);
  fs.write(`/sys/bus/pci/devices/${CARD}/driver_override`, 'vfio-pci');
  fs.write('/sys/bus/pci/drivers_probe', CARD!);
  expect(cause(CARD!, 'aer-nonfatal')).toBe('');
  expect(told).toEqual([[CARD, 'aer-nonfatal']]);
});

it('what an actor refuses is not done', () => {
  const { cause } = small({ device: { fault: () => ({ error: 'No.' }) } });
  expect(cause(ALONE!, 'stuck-reset')).toBe('No.');
});
