/**
 * Tells people what a scenario does: each step with its system call, the answer, and what that means.
 */
import {
  headline,
  type HostMade,
  type Observer,
  type Scenario,
  type Step,
  type TranscriptEntry,
} from '@vfiolab/scenario';
import type { Terminal } from './terminal.js';

const INDENT = '     ';

export class Narrator implements Observer {
  private readonly first: string | undefined;

  constructor(
    private readonly terminal: Terminal,
    private readonly scenario: Scenario,
  ) {
    this.first = scenario.processes[0]?.name;
  }

  begin(): void {
    const { terminal, scenario } = this;
    terminal.out(terminal.style('bold', headline(scenario)));
    if (scenario.about !== '') terminal.out(terminal.wrap(scenario.about, ''));
    terminal.progress('booting the host ...');
  }

  hostMade({ machine, functions, groups }: HostMade): void {
    this.terminal.out(`\nThe host ${machine} is up: ${functions} PCI functions, ${groups} IOMMU groups.`);
  }

  stepBegins(step: Step, call: string): void {
    this.terminal.progress(`step ${step.number} of ${this.scenario.steps.length}: ${call}`);
  }

  stepEnds(entry: TranscriptEntry): void {
    const { terminal } = this;
    if (entry.action === 'note') return terminal.out(`\n${terminal.style('bold', terminal.wrap(entry.call, ''))}`);
    const number = `${String(entry.step).padStart(4)} `;
    if (entry.say !== undefined) terminal.out(terminal.wrap(entry.say, INDENT, number));
    const who = entry.process === this.first ? '' : `[${entry.process}] `;
    const lead = entry.say === undefined ? number : INDENT;
    terminal.out(`${lead}${terminal.style('cyan', who + entry.call)} = ${this.answer(entry)}`);
    if (entry.means !== undefined) terminal.out(terminal.wrap(entry.means, `${INDENT}  `, `${INDENT}> `));
  }

  private answer({ answer, ok }: TranscriptEntry): string {
    if (!ok) return this.terminal.style('red', answer);
    return this.terminal.style(answer.startsWith('-1 ') ? 'yellow' : 'green', answer);
  }
}
