/**
 * `vfiolab up`, `status` and `down`: a lab that stays when the command has ended.
 *
 * Rule: the lab is kept by a process of its own, which is this program with `--foreground`; commands ask it at the socket in
 * the lab's folder.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type LabPlan, readLabFile, ScenarioError } from '@vfiolab/scenario';
import type { HostStatus, InstanceStatus, LabStatus } from '@vfiolab/testbed';
import { type Command, type Context, FAILED, type Input, OK, UsageError } from '../command.js';
import type { Terminal } from '../terminal.js';

/** Starting seven processes an instance takes its time on a busy machine. */
const UP_MS = 300_000;
const LOOK_MS = 200;
const PROGRAM = fileURLToPath(new URL('../../bin/vfiolab.js', import.meta.url));
const LOG = 'lab.log';
/** Characters of the log that are shown when a lab does not come up. */
const LOG_TAIL = 2000;

function planOf(input: Input): LabPlan {
  try {
    return readLabFile(resolve(input.positionals[0]!));
  } catch (error) {
    if (error instanceof ScenarioError) throw new UsageError(error.message);
    throw error;
  }
}

const problemsOf = ({ hosts, instances }: LabStatus): string[] => [
  ...instances.flatMap(({ name, problems }) => problems.map((each) => `instance ${name}: ${each}`)),
  ...hosts.flatMap(({ name, problems }) => problems.map((each) => `host ${name}: ${each}`)),
];

const restartsOf = ({ processes }: InstanceStatus): number =>
  processes.reduce((sum, { restarts }) => sum + restarts, 0);

function instanceRow(instance: InstanceStatus): string[] {
  const { name, hosts, room, processes } = instance;
  const up = processes.filter(({ running }) => running).length;
  return [name, `${hosts}/${room}`, `${up}/${processes.length}`, String(restartsOf(instance))];
}

const hostRow = ({
  name,
  machine,
  instance,
  epoch,
  serving,
  actors,
  inputs,
  inFlight,
  problems,
}: HostStatus): string[] => [
  name,
  machine,
  instance === '' ? '-' : instance,
  String(epoch),
  `${serving}/${actors}`,
  String(inputs),
  String(inFlight),
  problems.length === 0 ? 'ok' : `${problems.length} wrong`,
];

/** Columns as wide as their widest cell; the first row is the heading. */
function table(terminal: Terminal, rows: readonly string[][]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  rows.forEach((row, n) => {
    const line = row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
    terminal.out(n === 0 ? terminal.style('bold', line) : line);
  });
}

/** One screen: what is where, and what is wrong. Answers the exit code. */
function show({ terminal, json }: Context, status: LabStatus): number {
  const problems = problemsOf(status);
  const code = problems.length === 0 ? OK : FAILED;
  if (json) {
    terminal.json({ up: true, ok: code === OK, ...status });
    return code;
  }
  const { name, tenant, nats, pid, data, instances, hosts } = status;
  terminal.out(`Lab ${name} of ${tenant} on ${nats}, kept by process ${pid} in ${data}\n`);
  table(terminal, [['instance', 'hosts', 'processes', 'restarts'], ...instances.map(instanceRow)]);
  terminal.out();
  table(terminal, [
    ['host', 'machine', 'instance', 'epoch', 'serving', 'inputs', 'in flight', 'state'],
    ...hosts.map(hostRow),
  ]);
  terminal.out(problems.length === 0 ? '\nNothing is wrong.' : '');
  for (const each of problems) terminal.out(`${terminal.style('red', 'wrong:')} ${each}`);
  return code;
}

/** Keeps the lab in this process until somebody ends it. */
async function keep(plan: LabPlan, context: Context): Promise<number> {
  const lab = await context.engine.keepLab(plan);
  const stop = new Promise<void>((end) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      // Until here they ended everything at once; now there are journals to close.
      process.removeAllListeners(signal);
      process.once(signal, () => end());
    }
  });
  show(context, await lab.status());
  await Promise.race([stop, lab.ended]);
  await lab.end();
  return OK;
}

/** Starts the process that keeps the lab, and waits until the lab is up. */
async function detach(plan: LabPlan, { engine }: Context): Promise<LabStatus> {
  const { data, file } = plan;
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const log = openSync(join(data, LOG), 'w', 0o600);
  const child = spawn(process.execPath, ['--no-warnings', PROGRAM, 'up', file, '--foreground'], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  let ended = false;
  child.once('exit', () => (ended = true));
  child.unref();
  for (const until = Date.now() + UP_MS; ; await new Promise((resume) => setTimeout(resume, LOOK_MS))) {
    const status = await engine.labStatus(plan).catch(() => undefined);
    if (status) return status;
    if (!ended && Date.now() < until) continue;
    const said = readFileSync(join(data, LOG), 'utf8').slice(-LOG_TAIL).trim();
    throw new Error(`the lab did not come up:\n${said}`);
  }
}

async function up(input: Input, context: Context): Promise<number> {
  const plan = planOf(input);
  if (input.given('foreground')) return keep(plan, context);
  const followed = await context.engine.applyPlan(plan);
  return show(context, followed ? (await context.engine.labStatus(plan))! : await detach(plan, context));
}

async function status(input: Input, context: Context): Promise<number> {
  const plan = planOf(input);
  const found = await context.engine.labStatus(plan);
  if (found) return show(context, found);
  if (context.json) context.terminal.json({ up: false });
  else context.terminal.out(`Lab ${plan.name} is not up. Start it: vfiolab up ${input.positionals[0]}`);
  return FAILED;
}

async function down(input: Input, { engine, terminal, json }: Context): Promise<number> {
  const plan = planOf(input);
  const was = await engine.endLab(plan);
  if (json) terminal.json({ ended: was, data: plan.data });
  else
    terminal.out(
      was ? `Lab ${plan.name} has ended. Its journals stay in ${plan.data}.` : `Lab ${plan.name} was not up.`,
    );
  return OK;
}

export const upCommand: Command = {
  name: 'up',
  summary: 'start a lab that stays, or have it follow its changed file',
  positionals: ['LAB'],
  options: { foreground: { about: 'keep the lab in this process, until Ctrl-C or vfiolab down' } },
  details: `
LAB is a YAML file: hosts (machine, memory, kernel and IOMMU as in a scenario) and instances, each a set of the seven service
processes on NATS. The schema is libs/scenario/schema/lab.schema.json; libs/cli/labs/two-hosts.yaml is an example. Hosts are
spread over the instances; a process that dies is started again and reads its journals. Change the file and run up again:
instances are started and ended, and hosts move with their journals, while everything else goes on.

  vfiolab up libs/cli/labs/two-hosts.yaml
  vfiolab status libs/cli/labs/two-hosts.yaml
  vfiolab down libs/cli/labs/two-hosts.yaml`,
  run: up,
};

export const statusCommand: Command = {
  name: 'status',
  summary: 'show on one screen what is where in a lab, and what is wrong',
  positionals: ['LAB'],
  options: {},
  details: `
LAB is the file that the lab was started with. Exit code 1 says that something is wrong, or that the lab is not up.

  vfiolab status libs/cli/labs/two-hosts.yaml --json`,
  run: status,
};

export const downCommand: Command = {
  name: 'down',
  summary: 'end a lab that stays; its journals are kept',
  positionals: ['LAB'],
  options: {},
  details: `
LAB is the file that the lab was started with. The next vfiolab up goes on where it was.

  vfiolab down libs/cli/labs/two-hosts.yaml`,
  run: down,
};
