/** All actions by the key that names them in a file; one without a row does not compile. */
import type { ActionName } from '../scenario.js';
import type { Action, Actions } from './action.js';
import { dmaAction } from './dma.js';
import { fileActions } from './files.js';
import { inspectionActions } from './inspection.js';
import { ioctlAction } from './ioctl.js';
import { memoryActions } from './memory.js';
import { planAction } from './plan.js';
import { streamActions } from './streams.js';

const actions: Actions = {
  ...fileActions,
  ...streamActions,
  ...memoryActions,
  ...inspectionActions,
  ioctl: ioctlAction,
  dma: dmaAction,
  plan: planAction,
};

export const actionNames = Object.keys(actions) as ActionName[];

export const isActionName = (key: string): key is ActionName => Object.hasOwn(actions, key);

/** The action as the runner meets it: by a name that it does not know, so with arguments of any action. */
export const actionOf = (name: ActionName): Action<ActionName> => actions[name] as Action<ActionName>;
