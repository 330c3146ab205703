/**
 * What operators tell a service's process to go wrong with: its part of a fault plan.
 *
 * Rule: every service of a host gets all rules of a plan; each does what happens at its own edge. A request may be repeated.
 */
import { Controller, Inject } from '@nestjs/common';
import { MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { type FaultEdge, type RawRules, ruleProblemText, type RuleStatus } from '@vfiolab/core';
import { ServedHosts } from './served-hosts.js';

export interface PlanChange {
  readonly add?: RawRules;
  /** Rules that end; `all` of them. */
  readonly clear?: readonly string[] | 'all';
  /** Rules that let go of what waits. */
  readonly release?: readonly string[] | 'all';
}

const named = (names: readonly string[] | 'all'): readonly string[] | undefined =>
  names === 'all' ? undefined : names;

/** Throws, with every problem, when the rules are not right; nothing has changed then. */
export function changePlan(plan: FaultEdge, { clear, release, add }: PlanChange): RuleStatus[] {
  const problems = add ? plan.add(add) : [];
  if (problems.length > 0) throw new Error(problems.map(ruleProblemText).join('\n'));
  if (clear) plan.clear(named(clear));
  if (release) plan.release(named(release));
  return plan.status();
}

@Controller()
export class FaultsController {
  constructor(@Inject(ServedHosts) private readonly hosts: ServedHosts) {}

  /** Answers the rules that there are now. Without a host it is the home of the process. */
  @MessagePattern('faults')
  faults(@Payload() data: unknown): RuleStatus[] {
    const { host, ...change } = (data ?? {}) as PlanChange & { readonly host?: unknown };
    const served = host === undefined ? this.hosts.home : this.hosts.of(String(host));
    if (!served) throw new RpcException(`host '${String(host)}' is not served here`);
    try {
      return changePlan(served.plan.edge, checked(change));
    } catch (e) {
      throw new RpcException((e as Error).message);
    }
  }
}

/** What came as JSON: only the form is looked at here; rules are read where they are added. */
function checked({ add, clear, release }: Readonly<Record<keyof PlanChange, unknown>> | PlanChange): PlanChange {
  if (add !== undefined && (typeof add !== 'object' || add === null || Array.isArray(add)))
    throw new Error('add: rules by name are wanted');
  for (const names of [clear, release])
    if (names !== undefined && names !== 'all' && !(Array.isArray(names) && names.every((n) => typeof n === 'string')))
      throw new Error("clear, release: a list of names, or 'all', is wanted");
  return { add, clear, release } as PlanChange;
}
