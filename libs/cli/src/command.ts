/**
 * What a command is, and how its arguments are read.
 *
 * Words: exit codes are 0 (done, and all was well), 1 (done, and something was not as it should be) and 2 (the command
 * could not begin: arguments or input files are wrong).
 * Rule: the help text is made from the table that the arguments are parsed with, so the two cannot differ.
 */
import { parseArgs } from 'node:util';
import { suggestion } from '@vfiolab/scenario';
import type { Engine } from './engine.js';
import type { Terminal } from './terminal.js';

export const OK = 0;
export const FAILED = 1;
export const USAGE = 2;

export interface Option {
  /** Name of its value in the help; a switch has none. */
  readonly value?: string;
  readonly about: string;
}

export interface Command {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Positional arguments as the help shows them: `SCENARIO`, `[NAME]`; a last `PATH...` may come several times. */
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, Option>>;
  /** More about it, and examples. */
  readonly details: string;
  run(input: Input, context: Context): Promise<number>;
}

export interface Input {
  readonly positionals: readonly string[];
  text(option: string): string | undefined;
  given(option: string): boolean;
}

export interface Context {
  readonly terminal: Terminal;
  readonly engine: Engine;
  readonly json: boolean;
}

/** The command cannot begin. The message says what is wrong and what to do. */
export class UsageError extends Error {}

const COMMON: Readonly<Record<string, Option>> = {
  json: { about: 'print one JSON object for programs' },
  help: { about: 'show this text' },
};

export const optionsOf = (command: Command): Readonly<Record<string, Option>> => ({ ...command.options, ...COMMON });

/** Throws UsageError for unknown options, missing values, and too few or too many arguments. */
export function parse(command: Command, argv: readonly string[]): Input {
  const known = optionsOf(command);
  const { values, positionals } = strictly(command, argv, known);
  const help = values['help'] === true;
  const least = command.positionals.filter((each) => !each.startsWith('[')).length;
  if (!help && positionals.length < least)
    throw new UsageError(`${command.positionals[positionals.length]} is missing. ${usageLine(command)}`);
  const any = command.positionals.at(-1)?.endsWith('...') === true;
  if (!any && positionals.length > command.positionals.length)
    throw new UsageError(
      `${JSON.stringify(positionals[command.positionals.length])} is one argument too many. ${usageLine(command)}`,
    );
  return {
    positionals,
    given: (option) => values[option] !== undefined,
    text: (option) => {
      const value = values[option];
      return typeof value === 'string' ? value : undefined;
    },
  };
}

interface Parsed {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
}

function strictly(command: Command, argv: readonly string[], known: Readonly<Record<string, Option>>): Parsed {
  const options = Object.fromEntries(
    Object.entries(known).map(([name, { value }]) => [
      name,
      { type: value === undefined ? 'boolean' : 'string' } as const,
    ]),
  );
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true }) as unknown as Parsed;
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    if (!code?.startsWith('ERR_PARSE_ARGS')) throw error;
    throw new UsageError(`${parseProblem(message, argv, known)} ${usageLine(command)}`);
  }
}

/** The word of an option: `seed` of `--seed=7`. */
const nameOf = (arg: string): string => arg.replace(/^--/, '').split('=', 1)[0]!;

function parseProblem(message: string, argv: readonly string[], known: Readonly<Record<string, Option>>): string {
  const unknown = argv.find((arg) => arg.startsWith('-') && arg !== '--' && !Object.hasOwn(known, nameOf(arg)));
  if (unknown === undefined) return `${message.split('. ', 1)[0]!.split('\n', 1)[0]}.`;
  const names = Object.keys(known).map((name) => `--${name}`);
  return `There is no option ${unknown.split('=', 1)[0]}. ${suggestion(unknown.split('=', 1)[0]!, names)}`;
}

export const usageLine = (command: Command): string =>
  `Usage: vfiolab ${[command.name, ...command.positionals].join(' ')} [OPTIONS]. See vfiolab ${command.name} --help.`;

export function helpText(command: Command): string {
  const options = Object.entries(optionsOf(command)).map(
    ([name, { value, about }]) => `  ${`--${name}${value === undefined ? '' : ` ${value}`}`.padEnd(22)} ${about}`,
  );
  return [
    `vfiolab ${command.name}: ${command.summary}`,
    '',
    `Usage: vfiolab ${[command.name, ...command.positionals].join(' ')} [OPTIONS]`,
    '',
    ...options,
    '',
    command.details.trim(),
    '',
    'Exit codes: 0 all was well, 1 something was not, 2 the arguments or input files are wrong.',
  ].join('\n');
}

/** A whole number that an option gives. */
export function wholeNumber(option: string, text: string, most = Number.MAX_SAFE_INTEGER): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= most))
    throw new UsageError(`--${option}: ${JSON.stringify(text)} is no whole number from 0 to ${most}.`);
  return value;
}
