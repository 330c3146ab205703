import { compatIoctls, iommufdIoctls, iommuTestArms } from '@vfiolab/uapi';
import { FailNth } from './fail-nth.js';
import { boot } from './machine.js';
import { SCRIPTS, scriptsOf } from './scripts.js';

it.each([
  ['mock', '7.2', 500],
  ['mock', '6.12', 300],
  ['devices', '7.2', 50],
] as const)(
  'whatever fails, the errno is documented, a refused call leaves no traces, and nothing is left over: %s, %s',
  async (kind, profile, least) => {
    const hunt = new FailNth(await boot({ kind, profile }));
    const { failures, leaks, findings, answers } = await hunt.run(scriptsOf(profile).filter((s) => s.kind === kind));
    expect(findings).toEqual([]);
    expect(failures).toBeGreaterThan(least);
    expect(leaks).toBe(0);
    // Failures of every kind were met, not only the first of each call.
    for (const answer of ['IOMMU_IOAS_MAP ENOMEM', 'IOMMU_IOAS_MAP EFAULT', 'IOMMU_HWPT_ALLOC ENOMEM'])
      expect(answers.get(answer) ?? 0).toBeGreaterThan(1);
  },
  60_000,
);

it('what is left over after a failure is counted', async () => {
  const world = await boot({ kind: 'mock' });
  const [alloc] = SCRIPTS.filter(({ name }) => name === 'IOMMU_IOAS_ALLOC');
  let runs = 0;
  const leaky = { ...alloc!, run: (s: Parameters<typeof alloc.run>[0]) => (runs++, alloc!.run(s)) };
  const figures = world.figures.bind(world);
  world.figures = () => `${figures()}, ${runs} left`;
  const { failures, leaks, findings } = await new FailNth(world).run([leaky]);
  expect([leaks, findings.length]).toEqual([failures, failures]);
});

it('there is a script for every ioctl of a host that has an IOMMU, and for every op of the self-test', async () => {
  const world = await boot({ kind: 'mock' });
  const apart = ['IOMMU_IOAS_NOIOMMU_GET_PA'];
  const told = SCRIPTS.map(({ name }) => name).join(' ');
  const structs = Object.values({ ...iommufdIoctls, ...compatIoctls }).filter(({ kind }) => kind === 'struct');
  expect(structs.map(({ name }) => name).filter((name) => !told.includes(name) && !apart.includes(name))).toEqual([]);
  const ops = new Set<number>();
  const program = await world.program('program');
  for (const script of scriptsOf('7.2').filter(({ kind }) => kind === 'mock')) {
    const session = await program.session();
    const { on } = session;
    session.on = (fd, name, def, fields) => {
      if ('op' in fields && def.name === 'IOMMU_TEST_CMD') ops.add(fields.op as number);
      return on.call(session, fd, name, def as never, fields as never) as never;
    };
    await script.run(session);
    await program.closeAll();
  }
  expect([...iommuTestArms.keys()].filter((op) => !ops.has(op))).toEqual([]);
});
