/** Methods by name, for people who write `pages.storeCreate` in a scenario. */
import { type AnyMethod, methodCalled, methodNames } from '@vfiolab/core';

export function methodNamed(name: string): AnyMethod {
  const found = methodCalled(name);
  if (!found) throw new Error(`no method is called ${name}; there are ${methodNames().join(', ')}`);
  return found;
}
