/**
 * Resets of one function by sysfs: `reset` and `reset_method`. [pci.c, pci-sysfs.c]
 *
 * Rule: a method that the function does not have cannot be chosen; a function without any chosen method is not reset, by
 * nobody. Who drives the function by vfio is told of the choice, and resets it.
 */
import { call, deviceAddress, deviceApi, lockWrite, type Op, unlock } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import { wasAloneOnBus, workingMethods } from './host-topology.js';
import type { Device, Host } from './host.js';
import { readNumber } from './parameter-text.js';
import { defaultResetMethods } from './pci-attributes.js';

/** Names of the list that was given, at most. */
const MAX_METHODS = 7;
const DONE = ok(undefined);

const defaultsOf = (host: Host, { facts }: Device): string[] =>
  defaultResetMethods(facts, wasAloneOnBus(host.topology, facts));

/** The files are there when the function could be reset at boot. */
export const canBeReset = (host: Host, device: Device): boolean => defaultsOf(host, device).length > 0;

/** In the order in which they are tried. */
export const resetMethodsOf = (host: Host, device: Device): readonly string[] =>
  device.resetMethods ?? defaultsOf(host, device);

export const showResetMethods = (host: Host, device: Device): string => {
  const methods = resetMethodsOf(host, device);
  return methods.length > 0 ? `${methods.join(' ')}\n` : '';
};

/** `default`, nothing at all, or names with blanks between. EINVAL: a name of no method that the function has; too many. */
export function* setResetMethods(host: Host, device: Device, data: string): Op<Result<undefined>> {
  const text = data.replace(/\n$/, '');
  const names = text.split(' ').map((name) => name.trim());
  const chosen = text === 'default' ? undefined : names.filter((name) => name !== '');
  const known = defaultsOf(host, device);
  if (chosen?.some((name) => !known.includes(name)) || (chosen?.length ?? 0) > MAX_METHODS) return fail('EINVAL');
  device.resetMethods = chosen;
  if (device.vfio) {
    const methods = workingMethods(host.topology, device.facts, resetMethodsOf(host, device));
    yield* call(deviceAddress(device.bdf), deviceApi.resetMethods, { methods });
  }
  return DONE;
}

/** `1` resets the function; it waits for a bind or unbind under way. EINVAL: another number; ENOTTY: no chosen method works, or none has worked. */
export function* resetFunction(host: Host, device: Device, data: string): Op<Result<undefined>> {
  const value = readNumber(data);
  if (!value.ok || value.value !== 1) return fail('EINVAL');
  if (workingMethods(host.topology, device.facts, resetMethodsOf(host, device)).length === 0) return fail('ENOTTY');
  yield* lockWrite(device.lock);
  const reset = device.vfio
    ? yield* call(deviceAddress(device.bdf), deviceApi.functionReset, undefined)
    : ok(undefined);
  yield* unlock(device.lock);
  return reset.ok ? DONE : reset;
}
