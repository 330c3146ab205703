/** A lab that stays, with its door: what `vfiolab up` runs, and what the other commands ask of it. */
import { mkdirSync } from 'node:fs';
import { type LabPlan, readLabFile } from '@vfiolab/scenario';
import { ask, Door, type DoorRequest } from './door.js';
import type { LabStatus } from './lab-status.js';
import { StandingLab } from './standing-lab.js';

export interface KeptLab {
  status(): Promise<LabStatus>;
  /** Resolves when the lab has ended because somebody asked at its door. */
  readonly ended: Promise<void>;
  /** Ends it. */
  end(): Promise<void>;
}

/** Keeps the lab of a file in this process. Rejects when one is up there already, or when it cannot start. */
export async function keepLab(plan: LabPlan): Promise<KeptLab> {
  mkdirSync(plan.data, { recursive: true, mode: 0o700 });
  let lab: StandingLab | undefined;
  let over: () => void;
  const ended = new Promise<void>((resolve) => (over = resolve));
  const end = async (): Promise<void> => {
    await lab?.end();
    over();
    await door.close();
  };
  const door = await Door.open(plan.data, async ({ do: what, file = '' }: DoorRequest) => {
    if (!lab) throw new Error('the lab is starting; ask again in a moment');
    if (what === 'status') return lab.status();
    if (what === 'apply') return lab.apply(readLabFile(file));
    if (what === 'down') {
      await lab.end();
      // The answer goes out before the door closes.
      setImmediate(() => void end());
      return undefined;
    }
    throw new Error(`the door knows apply, status and down, not ${JSON.stringify(what)}`);
  });
  try {
    lab = await StandingLab.start(plan);
  } catch (e) {
    await door.close();
    throw e;
  }
  const kept = lab;
  return { status: () => kept.status(), ended, end };
}

/** Has the lab that is up in the plan's folder follow the plan. False: none is up. */
export const applyPlan = async ({ data, file }: LabPlan): Promise<boolean> =>
  (await ask(data, { do: 'apply', file })) !== undefined;

/** Undefined: no lab is up there. */
export const labStatus = async ({ data }: LabPlan): Promise<LabStatus | undefined> =>
  (await ask(data, { do: 'status' }))?.answer as LabStatus | undefined;

/** Resolves when it has ended. False: none was up. */
export const endLab = async ({ data }: LabPlan): Promise<boolean> => (await ask(data, { do: 'down' })) !== undefined;
