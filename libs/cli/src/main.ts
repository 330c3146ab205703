/**
 * The `vfiolab` command line: finds the command, runs it, and turns what went wrong into words and an exit code.
 */
import { suggestion } from '@vfiolab/scenario';
import { type Command, FAILED, helpText, OK, parse, USAGE, UsageError } from './command.js';
import { bench } from './commands/bench.js';
import { campaign } from './commands/campaign.js';
import { cluster } from './commands/cluster.js';
import { conformance } from './commands/conformance.js';
import { demo } from './commands/demo.js';
import { fault } from './commands/fault.js';
import { groups } from './commands/groups.js';
import { replay } from './commands/replay.js';
import { run } from './commands/run.js';
import { serveCommand } from './commands/serve.js';
import { sysfs } from './commands/sysfs.js';
import { downCommand, statusCommand, upCommand } from './commands/up.js';
import { type Engine, engine } from './engine.js';
import { Terminal } from './terminal.js';

export const commands: readonly Command[] = [
  demo,
  run,
  replay,
  fault,
  groups,
  sysfs,
  serveCommand,
  upCommand,
  statusCommand,
  downCommand,
  campaign,
  conformance,
  cluster,
  bench,
];

function overview(): string {
  return [
    'vfiolab: a host that passes devices through to guests, as services that may crash',
    '',
    'Usage: vfiolab COMMAND [ARGUMENTS]. Every command has --help and --json.',
    '',
    ...commands.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`),
    '',
    'Begin with: vfiolab demo',
  ].join('\n');
}

function find(name: string): Command {
  const found = commands.find((each) => each.name === name);
  if (found) return found;
  const names = commands.map((each) => each.name);
  throw new UsageError(`There is no command ${JSON.stringify(name)}. ${suggestion(name, names)} See vfiolab --help.`);
}

async function dispatch(argv: readonly string[], terminal: Terminal, behind: Engine): Promise<number> {
  const [name, ...rest] = argv;
  if (name === '--help' || name === '-h' || name === 'help') {
    terminal.out(overview());
    return OK;
  }
  if (name === undefined) throw new UsageError(`No command was given.\n\n${overview()}`);
  const command = find(name);
  const input = parse(command, rest);
  if (!input.given('help')) return command.run(input, { terminal, engine: behind, json: input.given('json') });
  terminal.out(helpText(command));
  return OK;
}

/** Runs one command line and answers its exit code. With --json an error is one object too. */
export async function main(argv: readonly string[], terminal: Terminal, behind: Engine = engine): Promise<number> {
  try {
    return await dispatch(argv, terminal, behind);
  } catch (error) {
    const code = error instanceof UsageError ? USAGE : FAILED;
    const message = error instanceof Error ? error.message : String(error);
    if (argv.includes('--json')) terminal.json({ error: message });
    terminal.error(`vfiolab: ${message}`);
    return code;
  }
}

/** The program itself. */
export async function start(): Promise<void> {
  const { argv, stdout, stderr, env } = process;
  // Who reads has seen enough, as `head` does: nothing is wrong, and nobody is there to be told.
  stdout.on('error', (e: NodeJS.ErrnoException) => {
    if (e.code !== 'EPIPE') throw e;
    process.exit();
  });
  process.exitCode = await main(argv.slice(2), new Terminal({ stdout, stderr, env }));
}
