/**
 * Scenarios in virtual time.
 *
 * Rule: programs run between events; the agenda moves only when every program waits.
 */
import { type Address, bootApi, decodeHeader, REPLY, REQUEST, ruleProblemText } from '@vfiolab/core';
import { Link } from '@vfiolab/client';
import type { CrashPlan, Environment, FaultControl, Inspection, RunEnd } from '@vfiolab/scenario';
import { methodNamed, stateHash } from '@vfiolab/host';
import type { SimHost } from './sim-host.js';

export class SimEnvironment implements Environment {
  readonly mode = 'simulated';
  private readonly links = new Map<string, Link>();

  readonly faults: FaultControl;

  constructor(private readonly host: SimHost) {
    const { plan } = host;
    this.faults = {
      add: (rules) => {
        const problems = plan.add(rules);
        return problems.length === 0 ? Promise.resolve() : Promise.reject(new Error(ruleProblemText(problems[0]!)));
      },
      clear: (names) => Promise.resolve(plan.clear(names)),
      release: (names) => Promise.resolve(plan.release(names)),
      status: () => Promise.resolve(plan.status()),
    };
  }

  link(name: string): Link {
    let link = this.links.get(name);
    if (link) return link;
    const address = `client:${name}`;
    link = new Link(
      {
        now: () => this.host.now(),
        sleep: (ms) => new Promise((resolve) => this.host.agenda.after(ms, () => this.wake(resolve))),
        send: (to, frame) => this.host.clientSends(address, to, frame),
      },
      600_000,
    );
    this.links.set(name, link);
    const own = link;
    this.host.attachClient(address, (from, frame) => own.receive(from, frame));
    const tick = (): void => {
      own.tick();
      this.host.agenda.after(25, tick);
    };
    tick();
    return link;
  }

  crash(plan: CrashPlan): Promise<void> {
    const method = methodNamed(plan.method);
    let left = plan.nth;
    const ids = new Set<number>();
    return new Promise((resolve) => {
      const unwatch = this.host.watch((from, to, frame, when) => {
        const h = decodeHeader(frame);
        const request = when === 'arriving' && to === plan.service && h.kind === REQUEST && h.method === method.id;
        if (request) ids.add(h.id);
        const answer = when === 'leaving' && from === plan.service && h.kind === REPLY && ids.has(h.id);
        if (!(plan.at === 'request' ? request : answer) || --left > 0) return false;
        unwatch();
        this.host.crash(plan.service, plan.downMs);
        this.host.agenda.after(plan.downMs + 1, () => this.wake(resolve));
        return true;
      });
    });
  }

  private wake(resolve: () => void): void {
    this.host.touch();
    resolve();
  }

  async inspect(address: Address): Promise<Inspection> {
    const { lines, broken, figures, busy } = await this.link('operator').call(address, bootApi.inspect, undefined);
    return { lines, broken, busy, figures: Object.fromEntries(figures.map((f) => [f.name, f.value])) };
  }

  actors(): Promise<Address[]> {
    return Promise.resolve(this.host.addresses());
  }

  end(): Promise<RunEnd> {
    const actors = this.host.addresses().map((address) => {
      const { machine, seq } = this.host.actor(address)!;
      const journalHash = this.host.journal(address).head().hash;
      return { address, seq, clock: machine.clock, journalHash, stateHash: stateHash(machine) };
    });
    const { host } = this;
    const broken = [...new Set([...host.failures, ...host.broken(), ...host.disagreements()])];
    return Promise.resolve({ actors, broken });
  }
}
