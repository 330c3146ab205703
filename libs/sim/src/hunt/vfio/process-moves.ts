/** Random life of processes: fork, dup, close, grants, other users, exec, and ends that nobody announced. */
import {
  type AnyIoctlDef,
  compatIoctls,
  containerIoctls,
  deviceIoctls,
  groupIoctls,
  iommufdIoctls,
  spaprIoctls,
} from '@vfiolab/uapi';
import { ArgumentMaker, STRUCT_AT } from '../arguments.js';
import { any, type Move } from './moves.js';
import type { Program } from './program.js';

const DEFINITIONS: readonly AnyIoctlDef[] = Object.values({
  ...compatIoctls,
  ...containerIoctls,
  ...deviceIoctls,
  ...groupIoctls,
  ...iommufdIoctls,
  ...spaprIoctls,
});

async function close(p: Program): Promise<void> {
  const fd = any(p.chance, p.process.openFds);
  if (fd !== undefined) await p.close(fd);
}

async function dup(p: Program): Promise<void> {
  const { chance, process } = p;
  const made = process.dup(p.fdOr(any(chance, process.openFds) ?? 0));
  if (!made.ok) return;
  if (chance.once(2)) await p.get(process.close(made.value));
  else p.model.others.push(made.value);
}

/** An open file for a relative, which may do with it what it likes. */
async function grant(p: Program): Promise<void> {
  const { chance, process } = p;
  const to = any(
    chance,
    p.around.running.filter((each) => each !== p && each.family === p.family),
  );
  const fd = any(chance, process.openFds);
  if (!to || fd === undefined) return;
  p.model.foretellNothing();
  const granted = await p.get(process.grant(fd, to.process));
  if (granted === undefined || to.dead) return;
  const kind = process.kindOf(fd);
  const device = p.model.devices.find((each) => each.fd === fd);
  if (device) to.model.devices.push({ ...device, fd: granted, group: undefined, iommufd: undefined });
  else if (kind === 'group') to.model.groups.push({ fd: granted, members: [], container: undefined });
  else to.model.others.push(granted);
}

async function fork(p: Program): Promise<void> {
  await p.around.start(p);
}

async function killRelative(p: Program): Promise<void> {
  const other = any(
    p.chance,
    p.around.running.filter((each) => each !== p),
  );
  if (other) await other.end();
}

async function exec(p: Program): Promise<void> {
  for (const { va, bytes } of p.model.memory) p.model.spoil(va, bytes);
  p.model.memory = [];
  await p.sys(p.process.exec());
}

async function credentials(p: Program): Promise<void> {
  const { chance, process } = p;
  if (chance.once(4)) await p.get(process.setUid(1000));
  else await p.get(process.setMemlock(chance.pick([0, 65536, 1 << 20, 8 << 20, 2 ** 40])));
}

/** Any ioctl on any file, with arguments that are nearly right. */
async function oddCall(p: Program): Promise<void> {
  const { chance, process, yard } = p;
  const fd = any(chance, process.openFds);
  if (fd === undefined) return;
  p.model.foretellNothing();
  const maker = new ArgumentMaker(chance, yard.profile, BigInt(any(chance, p.model.memory)?.va ?? 0x10000));
  const def = chance.pick(DEFINITIONS);
  const segments = def.kind === 'struct' ? maker.segments(def) : [];
  const arg = def.kind === 'struct' ? STRUCT_AT : chance.below(12);
  const kind = process.kindOf(fd);
  const { ret, errno } = await p.sys(process.ioctlAt(fd, def.nr, arg, segments));
  p.judge(def.name, kind, def.nr, errno);
  if (!errno && ret > 2 && process.kindOf(ret) !== undefined) p.model.others.push(ret);
}

export const PROCESS_MOVES: readonly Move[] = [
  { name: 'close', weight: 5, run: close },
  { name: 'dup', weight: 2, run: dup },
  { name: 'grant', weight: 1, run: grant },
  { name: 'fork', weight: 1, run: fork },
  { name: 'kill', weight: 1, run: killRelative },
  { name: 'exec', weight: 1, run: exec },
  { name: 'credentials', weight: 1, run: credentials },
  { name: 'odd call', weight: 4, run: oddCall },
];
