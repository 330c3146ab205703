/**
 * The hosts that one process serves.
 *
 * Words: the *home* is the host that the process was started for, and the name by which operators reach the process; it
 * is served from the start to the end. *Further* hosts come and go as operators say (`serve`, `release`).
 * Rule: one thing at a time happens to a host, in the order in which it was asked for; hosts do not wait for each other.
 */
import type { ActorHost } from './actor-host.js';
import type { HostList } from './host-list.js';
import { isToken } from './nats-subjects.js';

export interface ServedHostsOptions {
  readonly home: string;
  /** Hosts at most, the home included. */
  readonly most: number;
  /** The actors of a host, not started yet. */
  readonly make: (host: string) => ActorHost;
  readonly list: Pick<HostList, 'add' | 'remove' | 'all'>;
  /** A further host that was served could not be recovered when the process started again. It stays on the list. */
  readonly onUnrecovered: (host: string, error: Error) => void;
}

/** The request cannot be met as it is; the message says why. */
export class HostRefused extends Error {}

export class ServedHosts {
  readonly home: ActorHost;
  private readonly hosts = new Map<string, ActorHost>();
  /** What is last in the queue of a host. */
  private readonly last = new Map<string, Promise<unknown>>();
  private stopping = false;

  constructor(private readonly options: ServedHostsOptions) {
    this.home = options.make(options.home);
    this.hosts.set(options.home, this.home);
  }

  /** Names of all served hosts, in the order in which they came. */
  names(): string[] {
    return [...this.hosts.keys()];
  }

  /** The actors of a host; undefined when it is not served here. */
  of(host: string): ActorHost | undefined {
    return this.hosts.get(host);
  }

  /** Starts the home and every host that was served when the process ended. */
  async start(): Promise<void> {
    const { list, home, most } = this.options;
    const further = list.all().filter((host) => host !== home);
    if (further.length >= most)
      throw new Error(
        `${further.length + 1} hosts are to be served, but at most ${most} may be. Raise VFIOLAB_HOSTS to ${further.length + 1} or more.`,
      );
    await Promise.all([this.home.start(), ...further.map((host) => this.startAgain(host))]);
  }

  /** The damage of one host must not keep the others from being served. */
  private startAgain(host: string): Promise<void> {
    return this.inTurn(host, () => this.open(host)).catch((e: unknown) => this.options.onUnrecovered(host, e as Error));
  }

  /**
   * Serves one host more, from its journals when there are any; does nothing when it is served already. HostRefused: the
   * name is none, or the process has as many as it may. Rejects when an actor cannot be recovered; it is not served then.
   */
  serve(host: string): Promise<void> {
    return this.inTurn(host, async () => {
      if (this.hosts.has(host)) return;
      this.checkRoom(host);
      this.options.list.add(host);
      try {
        await this.open(host);
      } catch (e) {
        this.options.list.remove(host);
        throw e;
      }
    });
  }

  private async open(host: string): Promise<void> {
    const actors = this.options.make(host);
    this.hosts.set(host, actors);
    try {
      await actors.start();
    } catch (e) {
      await this.drop(host, actors);
      throw e;
    }
  }

  private checkRoom(host: string): void {
    const { home, most } = this.options;
    checkName(host);
    if (this.stopping) throw new HostRefused(`the process of ${home} is ending and serves no further host`);
    if (this.hosts.size >= most)
      throw new HostRefused(
        `${host} is not served: the process of ${home} serves ${most === 1 ? 'the one host' : `all ${most} hosts`} that it may. Release one, or raise VFIOLAB_HOSTS.`,
      );
  }

  /** Lets go of a host: its actors end in order and their journals are closed and stay. Nothing when it is not served. */
  release(host: string): Promise<void> {
    return this.inTurn(host, async () => {
      checkName(host);
      if (host === this.options.home)
        throw new HostRefused(`${host} is the home of this process: it goes when the process ends`);
      const actors = this.hosts.get(host);
      if (actors) await this.drop(host, actors);
      this.options.list.remove(host);
    });
  }

  private async drop(host: string, actors: ActorHost): Promise<void> {
    await actors.stop();
    this.hosts.delete(host);
  }

  private inTurn(host: string, work: () => Promise<void>): Promise<void> {
    const done = (this.last.get(host) ?? Promise.resolve()).then(work);
    const settled: Promise<void> = done
      .catch(() => undefined)
      .then(() => {
        if (this.last.get(host) === settled) this.last.delete(host);
      });
    this.last.set(host, settled);
    return done;
  }

  /** Ends all in order. They stay on the list: the process serves them again when it is started again. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.last.values());
    await Promise.all([...this.hosts.values()].map((actors) => actors.stop()));
  }
}

/** A host's name is a part of subjects and the name of a folder. */
function checkName(host: string): void {
  if (!isToken(host)) throw new HostRefused(`${JSON.stringify(host)} is no host: 1 to 64 letters, digits, - or _`);
}
