/**
 * What is wrong with a scenario file, for the person who wrote it.
 *
 * Rule: every problem says where (file, line, column, field), what is wrong and what would be right.
 */

export interface Problem {
  readonly file: string;
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;
  /** Such as `steps[3].ioctl.in.flags`; empty for the file as a whole. */
  readonly path: string;
  readonly what: string;
  readonly hint: string;
}

/** Problems named in one message; the others are counted. */
const MAX_SHOWN = 20;

export const problemText = ({ file, line, column, path, what, hint }: Problem): string =>
  `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${what}. ${hint}`;

export class ScenarioError extends Error {
  constructor(readonly problems: readonly Problem[]) {
    const rest = problems.length - MAX_SHOWN;
    const lines = problems.slice(0, MAX_SHOWN).map(problemText);
    super([...lines, ...(rest > 0 ? [`... and ${rest} more`] : [])].join('\n'));
    this.name = 'ScenarioError';
  }
}
