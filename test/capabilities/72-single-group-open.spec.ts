import { BRIDGED, ContainerLab, ENGINE, NOTHING } from './support/container-lab.js';

it('72: second open EBUSY', async () => {
  const lab = await ContainerLab.boot();
  const [p, other] = [await lab.program('vmm'), await lab.program('other')];
  const group = await p.group(ENGINE);
  await expect(p.group(ENGINE)).rejects.toThrow('EBUSY');
  await expect(other.group(ENGINE)).rejects.toThrow('EBUSY');
  await other.group(BRIDGED);
  // A copy of the fd is the same open file: only the last close lets others in.
  const copy = p.process.dup(group);
  await p.close(group);
  await expect(other.group(ENGINE)).rejects.toThrow('EBUSY');
  if (copy.ok) await p.close(copy.value);
  await other.group(ENGINE);
  expect(await lab.afterwards(p, other)).toEqual(NOTHING);
});

it('72: an open device keeps the group open after its fd is closed', async () => {
  const lab = await ContainerLab.boot();
  const [p, other] = [await lab.program('vmm'), await lab.program('other')];
  const { groups } = await p.ready();
  const { fd, bar } = await p.engine(groups[0]!);
  await p.close(groups[0]!);
  await expect(other.group(ENGINE)).rejects.toThrow('EBUSY');
  await p.close(fd);
  await expect(other.group(ENGINE)).rejects.toThrow('EBUSY');
  await p.must(p.process.munmap(bar, 0x100000));
  await other.group(ENGINE);
  expect(await lab.afterwards(p, other)).toEqual(NOTHING);
});
