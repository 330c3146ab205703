import { InputError } from './input-error.js';
import { kubePod, quantity } from './kube-pod.js';
import { newKinds } from './shape.js';

const kinds = newKinds();
const [nic, vf] = [kinds.id('nic'), kinds.id('vf')];

const pod = (requests: object, annotations: object = {}, more: object[] = []): object => ({
  metadata: { name: 'p', annotations },
  spec: { containers: [{ resources: { requests } }, ...more] },
});

describe('a Kubernetes pod as a request', () => {
  it('sums the requests of its containers', () => {
    const more = [{ resources: { requests: { cpu: '1.5', memory: '1Gi', 'nvidia.com/gpu': '1' } } }, {}];
    const facts = kubePod(pod({ cpu: '500m', memory: '512Mi', 'nvidia.com/gpu': 1 }, {}, more), kinds);
    expect(facts).toMatchObject({ cpuMilli: 2000, memory: 1536, pinned: 0, huge: false });
    expect(facts.ask).toMatchObject({ items: [{ kind: 0, count: 2, units: 0 }], near: 'any', passthrough: false });
  });

  it('is exact to the thousandth of a processor', () => {
    for (let milli = 1; milli < 3000; milli++) expect(kubePod(pod({ cpu: `${milli}m` }), kinds).cpuMilli).toBe(milli);
    expect(kubePod(pod({ cpu: '1m', memory: '1' }), kinds)).toMatchObject({ cpuMilli: 1, memory: 1 });
  });

  it('takes VFs as those of one PF, and huge pages as pinned memory', () => {
    const facts = kubePod(
      pod({
        memory: '1Gi',
        'hugepages-1Gi': '2Gi',
        'hugepages-2Mi': '4Mi',
        'intel.com/vf': '3',
        'mellanox.com/nic': '2',
      }),
      kinds,
    );
    expect(facts).toMatchObject({ memory: 1024, pinned: 2052, huge: true });
    expect(facts.ask.items).toEqual([
      { kind: vf, count: 1, units: 3 },
      { kind: nic, count: 2, units: 0 },
    ]);
  });

  it('takes from annotations what resources cannot say', () => {
    const annotations = {
      'vfiolab/near': 'numa',
      'vfiolab/passthrough': '1',
      'vfiolab/gpu_spec': 'A100|H100',
      other: 'x',
    };
    const facts = kubePod(pod({ 'nvidia.com/gpu': '4' }, annotations), kinds);
    expect(facts.models).toEqual(['A100', 'H100']);
    expect(facts.ask).toMatchObject({ near: 'numa', passthrough: true });
    expect(kubePod(pod({ 'a/gpu': '1' }, { 'vfiolab/gpu_milli': '250' }), kinds).ask.items[0]!.units).toBe(250);
  });

  it('leaves resources that no host has to others, and learns no kind from a pod', () => {
    const before = kinds.size;
    expect(kubePod(pod({ cpu: '1', 'example.com/dongle': '1', 'ephemeral-storage': '1Gi' }), kinds).ask.items).toEqual(
      [],
    );
    expect(() => kubePod(pod({}, { 'vfiolab/devices': 'dongle*1' }), kinds)).toThrow(
      'p: devices: no host has a "dongle"',
    );
    expect(kinds.size).toBe(before);
  });

  it.each([
    [undefined, 'pod: spec.containers: is missing'],
    [{ spec: { containers: 'no' } }, 'pod: spec.containers: is missing'],
    [pod({ cpu: 'much' }), 'p: spec.containers[0].resources.requests.cpu: "much" is no quantity'],
    [pod({ cpu: '-1' }), 'p: spec.containers[0].resources.requests.cpu: "-1" is no quantity'],
    [pod({ 'a/gpu': '0.5' }), 'p: num_gpu'],
    [pod({}, { 'vfiolab/near': 'door' }), 'p: near: "door" is none of'],
    [pod({}, { 'vfiolab/near': 'a",\n"b' }), 'p: near:'],
    [{ spec: { containers: Array.from({ length: 1025 }, () => ({})) } }, 'pod: spec.containers: more than 1024'],
  ])('says what is wrong: %#', (given, problem) => {
    expect(() => kubePod(given, kinds)).toThrow(InputError);
    expect(() => kubePod(given, kinds)).toThrow(problem);
  });

  it.each([
    ['1', 1],
    ['250m', 0.25],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['2k', 2000],
    ['1e3', Number.NaN],
    ['Gi', Number.NaN],
    ['1X', Number.NaN],
    [null, Number.NaN],
  ])('reads the quantity %s', (text, value) => {
    expect(quantity(text)).toBe(value);
  });
});
