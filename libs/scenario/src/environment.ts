/**
 * What a scenario runs in: a host's services, wherever and however they run.
 *
 * Words: a *crash* kills a service without warning and brings it back from its journal after `downMs`.
 * Rule: a scenario sees no difference between environments but time: answers and final state are the same.
 */
import type { Address, RawRules, RuleStatus } from '@vfiolab/core';
import type { Link } from '@vfiolab/client';

export type Mode = 'embedded' | 'nats' | 'simulated';

/** Kill `service` at its `nth` frame of `method` from now on (`pages.storeCreate`): when the request comes in, or when the answer leaves. */
export interface CrashPlan {
  readonly service: Address;
  readonly method: string;
  readonly nth: number;
  readonly at: 'request' | 'answer';
  readonly downMs: number;
}

/** Where one service's journal ended. Hashes are hex. */
export interface ActorEnd {
  readonly address: Address;
  readonly seq: number;
  readonly clock: number;
  readonly journalHash: string;
  /** SHA-256 of the state that means something to a client. */
  readonly stateHash: string;
}

export interface RunEnd {
  readonly actors: ActorEnd[];
  /** Broken invariants, in words. */
  readonly broken: string[];
}

export interface Inspection {
  readonly lines: string[];
  readonly broken: string[];
  readonly figures: Record<string, number>;
  readonly busy: number;
}

/** The fault plan of a host: `break` rules are none of it. */
export interface FaultControl {
  /** Begins rules, in place of those with the same names. Rejects with what is wrong with them; none has begun then. */
  add(rules: RawRules): Promise<void>;
  /** Ends rules, and with them what they do: all when none are named. */
  clear(names?: readonly string[]): Promise<void>;
  /** Lets go of the frames that rules hold. */
  release(names?: readonly string[]): Promise<void>;
  /** The rules that there are. */
  status(): Promise<RuleStatus[]>;
}

export interface Environment {
  readonly mode: Mode;
  readonly faults: FaultControl;
  /** Where somebody else can reach the host; undefined: nowhere. */
  readonly url?: string;
  /** The link of the client with this name; made on first use. */
  link(name: string): Link;
  /** Arranges one crash. Answers when it has happened and the service is back. */
  crash(plan: CrashPlan): Promise<void>;
  /** The state for people and its figures, live; `busy`: operations in flight. */
  inspect(address: Address): Promise<Inspection>;
  /** Addresses of all running actors. */
  actors(): Promise<Address[]>;
  /** Ends the lab; journals are complete on disk then. */
  end(): Promise<RunEnd>;
}
