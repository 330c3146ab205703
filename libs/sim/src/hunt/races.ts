/**
 * Two calls at the same time: each pair of calls meets at every distance, from one message to the next.
 *
 * Words: a *stage* is what a program has built before the race; an *act* is one call of it. The *lag* is how much later the
 * second call leaves, in hops: one way of one message.
 * Rule: whatever the order, every invariant holds when both have been answered, the answers are documented, and nothing is
 * left when the program has closed its files.
 */
import { mayAnswer } from './documented.js';
import type { Act, Stage } from './stages.js';
import { type Program, Stopped, type World } from './world.js';

/** One way of a message, ms. */
const HOP_MS = 0.05;

export interface RaceReport {
  readonly races: number;
  readonly findings: readonly string[];
}

export interface RaceOptions {
  /** A host on which nothing has happened: a finding spoils the one it was made on. */
  boot(): Promise<World>;
  readonly stage: Stage;
  /** How many hops later the second call leaves. */
  readonly lags: readonly number[];
}

/** Races every ordered pair of acts of a stage; after a finding the pair is left. */
export async function race({ boot, stage, lags }: RaceOptions): Promise<RaceReport> {
  const findings: string[] = [];
  let races = 0;
  let track = await Track.on(await boot());
  const names = await track.names(stage);
  const pairs = names.flatMap((first, i) => names.map((second, j) => ({ first, second, i, j })));
  for (const { first, second, i, j } of pairs.filter((p) => p.i !== p.j))
    for (const lag of lags) {
      races++;
      const wrong = await track.run(stage, i, j, lag);
      if (wrong.length === 0) continue;
      findings.push(`${first}, ${lag} hops later ${second}: ${wrong.join('; ')}`);
      track = await Track.on(await boot());
      break;
    }
  return { races, findings };
}

/** One host, used for one race after another. */
class Track {
  private constructor(
    private readonly world: World,
    private readonly program: Program,
    private readonly rest: string,
  ) {}

  static async on(world: World): Promise<Track> {
    const program = await world.program('program');
    return new Track(world, program, world.figures());
  }

  async names(stage: Stage): Promise<string[]> {
    const acts = await stage.build(await this.program.session());
    await this.program.closeAll();
    return acts.map(({ name }) => name);
  }

  /** What is wrong after acts `i` and `j`. */
  async run(stage: Stage, i: number, j: number, lag: number): Promise<string[]> {
    try {
      const acts = await stage.build(await this.program.session());
      const wrong = await this.both(acts[i]!, acts[j]!, lag);
      wrong.push(...this.world.wrong());
      await this.program.closeAll();
      wrong.push(...this.world.wrong());
      const left = this.world.figures();
      return left === this.rest ? wrong : [...wrong, `left over: ${difference(left, this.rest)}`];
    } catch (e) {
      return [`the host stopped: ${(e as Error).message.split('\n')[0]}`];
    }
  }

  private async both(first: Act, second: Act, lag: number): Promise<string[]> {
    const wrong: string[] = [];
    const judged = async ({ run }: Act): Promise<void> => {
      try {
        await run();
      } catch (e) {
        if (!(e instanceof Stopped)) throw e;
        if (e.step.errno !== 'EBADF' && !mayAnswer(e.step.name, e.step.errno)) wrong.push(e.message);
      }
    };
    await this.world.host.together(async () => {
      const later = this.world.host.pause(lag * HOP_MS).then(() => judged(second));
      await Promise.all([judged(first), later]);
    });
    return wrong;
  }
}

const difference = (now: string, before: string): string =>
  now
    .split('\n')
    .filter((line) => !before.includes(line))
    .join(' ');
