import { deviceAddress, groupsApi } from '@vfiolab/core';
import { ok } from '@vfiolab/uapi';
import { GroupsCore } from './groups-core.js';
import { NVME, sriovBench } from './testing/sriov-machine.js';
import { tokenOf } from './vf-token.js';

const VF = '0000:01:00.1';
const PLAIN = '0000:01:05.0';
const SECRET = '00112233-4455-6677-8899-aabbccddeeff';
const OTHER = '11111111-2222-3333-4444-555555555555';

function bench(pfByVfio: boolean) {
  const b = sriovBench({ device: { openInGroup: () => ok({ token: 'x', kind: 'device' }) } });
  if (pfByVfio) b.toVfio(NVME);
  b.numVfs(NVME, 1);
  b.bind(VF, 'vfio-pci');
  b.bind(PLAIN, 'vfio-pci');
  const from = (bdf: string) => deviceAddress(bdf);
  const match = (bdf: string, uuid?: string, by = bdf) => {
    const token = uuid === undefined ? undefined : tokenOf(uuid);
    const matched = b.bench.get(from(by), groupsApi.vfTokenMatch, { bdf, token });
    return matched.ok ? 'ok' : matched.errno;
  };
  const set = (bdf: string, uuid: string, by = bdf) =>
    b.bench.get(from(by), groupsApi.vfTokenSet, { bdf, token: tokenOf(uuid) });
  const claim = (bdf: string) => b.bench.get(from(bdf), groupsApi.cdevClaim, { bdf, vm: 0 });
  const release = (bdf: string) => b.bench.get(from(bdf), groupsApi.cdevRelease, { bdf });
  return { b, match, set, claim, release };
}

describe('the matrix of semantics A3.7', () => {
  it.each([
    ['a VF whose PF is on vfio-pci: without', true, VF, undefined, 'EACCES'],
    ['a VF whose PF is on vfio-pci: with another', true, VF, OTHER, 'EACCES'],
    ['a VF whose PF is on vfio-pci: with its PF’s', true, VF, SECRET, 'ok'],
    ['a VF whose PF has another driver: without', false, VF, undefined, 'ok'],
    ['a VF whose PF has another driver: with one', false, VF, OTHER, 'EINVAL'],
    ['a PF whose VFs nobody uses: without', true, NVME, undefined, 'ok'],
    ['a PF whose VFs nobody uses: with another', true, NVME, OTHER, 'ok'],
    ['neither PF nor VF: without', true, PLAIN, undefined, 'ok'],
    ['neither PF nor VF: with one', true, PLAIN, SECRET, 'EINVAL'],
  ])('%s', (_rule, pfByVfio, bdf, uuid, answer) => {
    const { b, match, set } = bench(pfByVfio);
    if (pfByVfio) set(NVME, SECRET);
    expect(match(bdf, uuid)).toBe(answer);
    expect(b.bench.core.check()).toEqual([]);
  });

  it('a PF with VFs in use asks for its token, by whatever way they were opened', () => {
    const { b, match, set, claim, release } = bench(true);
    set(NVME, SECRET);
    const asked = () => [match(NVME), match(NVME, OTHER), match(NVME, SECRET), match(VF, SECRET)];
    claim(VF);
    expect(asked()).toEqual(['EACCES', 'EACCES', 'ok', 'ok']);
    release(VF);
    b.bench.get(deviceAddress(VF), groupsApi.groupUse, { bdf: VF, client: 'client:x' });
    expect(asked()).toEqual(['EACCES', 'EACCES', 'ok', 'ok']);
    b.bench.get(deviceAddress(VF), groupsApi.groupUnuse, { bdf: VF });
    expect([match(NVME, OTHER), match(VF, SECRET), match(VF, OTHER)]).toEqual(['ok', 'EACCES', 'ok']);
  });

  it('nobody knows the token of a PF that nobody has set, and it goes with vfio-pci', () => {
    const { b, match, set } = bench(true);
    expect([match(VF, '00000000-0000-0000-0000-000000000000'), match(VF, SECRET)]).toEqual(['EACCES', 'EACCES']);
    set(NVME, SECRET);
    b.toVfio(NVME);
    b.numVfs(NVME, 1);
    expect(match(VF, SECRET)).toBe('EACCES');
  });
});

it('only the function itself asks and sets', () => {
  const { match, set } = bench(true);
  set(NVME, SECRET, VF);
  expect([match(VF, SECRET), match(VF, SECRET, NVME)]).toEqual(['EACCES', 'EPERM']);
});

it('tokens are part of a snapshot and of the meaning', () => {
  const { b, set } = bench(true);
  const before = b.bench.bytes('meaning');
  set(NVME, SECRET);
  expect(b.bench.bytes('meaning')).not.toEqual(before);
  const again = b.bench.reread(new GroupsCore());
  expect(again.after).toEqual(again.before);
});
