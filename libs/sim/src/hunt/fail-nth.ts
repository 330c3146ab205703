/**
 * Runs a script again and again, and each time another one of its fallible steps fails, until none is left.
 *
 * Rule: after a failure the call answers an errno that is documented for it; no client can tell that it was made, unless
 * the kernel leaves the same traces; when the program has closed its files nothing is left, and the script works again.
 */
import { mayAnswer, mayLeaveTraces } from './documented.js';
import { Injector } from './injector.js';
import type { Script } from './pieces.js';
import { type Program, type Session, type Step, Stopped, type World } from './world.js';

export interface FailNthReport {
  /** Failures that were made to happen. */
  readonly failures: number;
  /** After how many of them something was left over. */
  readonly leaks: number;
  /** Findings: what failed, and what was wrong afterwards. */
  readonly findings: readonly string[];
  /** How often an ioctl answered an errno. */
  readonly answers: ReadonlyMap<string, number>;
}

/** After so many failures the whole script is run again without one. */
const AGAIN = 8;
/** A script with more failures than this does not end: a finding of its own. */
const MOST = 2000;

export class FailNth {
  private readonly injector: Injector;
  private program!: Program;
  private leaks = 0;
  private readonly findings: string[] = [];
  private readonly answers = new Map<string, number>();

  constructor(private readonly world: World) {
    this.injector = new Injector(world.host.host);
  }

  async run(scripts: readonly Script[]): Promise<FailNthReport> {
    this.program = await this.world.program('program');
    let failures = 0;
    for (const script of scripts) failures += await this.all(script);
    return { failures, leaks: this.leaks, findings: this.findings, answers: this.answers };
  }

  /** All failures of one script; answers how many there were. */
  private async all(script: Script): Promise<number> {
    await this.works(script, 'before anything failed');
    const rest = this.world.figures();
    for (let nth = 1; nth <= MOST; nth++) {
      if (!(await this.fail(script, nth))) return nth - 1;
      const why = `${script.name}, failure ${nth}: ${this.injector.fired}`;
      await this.program.closeAll();
      this.note(why, this.world.wrong());
      if (this.world.figures() !== rest) this.leaked(why, rest);
      if (nth % AGAIN === 0) await this.works(script, `after ${why}`);
    }
    this.note(script.name, [`more than ${MOST} failures`]);
    return MOST;
  }

  /** False: there is no nth fallible step any more. */
  private async fail(script: Script, nth: number): Promise<boolean> {
    const session = await this.program.session(true);
    this.injector.arm(nth);
    const step = await this.attempt(script, session);
    this.injector.disarm();
    if (!this.injector.fired) {
      await this.program.closeAll();
      return false;
    }
    const why = `${script.name}, failure ${nth}: ${this.injector.fired}`;
    this.note(why, this.world.wrong());
    if (step) this.judge(why, step);
    return true;
  }

  private judge(why: string, { name, errno, leftTraces }: Step): void {
    const key = `${name} ${errno}`;
    this.answers.set(key, (this.answers.get(key) ?? 0) + 1);
    if (!mayAnswer(name, errno)) this.note(why, [`${name} answers ${errno}, which is not documented`]);
    if (leftTraces.length > 0 && !mayLeaveTraces(name, errno))
      this.note(why, [`${name} answers ${errno} and leaves traces in ${leftTraces.join(', ')}`]);
  }

  /** The step that stopped the script; undefined: it came to its end. */
  private async attempt(script: Script, session: Session): Promise<Step | undefined> {
    try {
      await script.run(session);
      return undefined;
    } catch (e) {
      if (e instanceof Stopped) return e.step;
      throw e;
    }
  }

  private leaked(why: string, rest: string): void {
    this.leaks++;
    this.note(why, [`left over:\n${this.world.figures()}\ninstead of\n${rest}`]);
  }

  private async works(script: Script, when: string): Promise<void> {
    const step = await this.attempt(script, await this.program.session());
    if (step) this.note(script.name, [`${when}: ${step.name} answers ${step.errno}`]);
    this.note(`${script.name} ${when}`, this.world.wrong());
    await this.program.closeAll();
  }

  private note(why: string, found: readonly string[]): void {
    for (const each of found) this.findings.push(`${why}: ${each}`);
  }
}
