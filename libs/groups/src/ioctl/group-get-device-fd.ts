/**
 * VFIO_GROUP_GET_DEVICE_FD: opens a device of the group by its name, as often as it is asked (semantics A3.6, A3.7).
 *
 * Words: behind the name may come *options*, of which there is one: ` vf_token=UUID`.
 * Rule: the name decides first (ENODEV), then its options (EINVAL, EACCES), then the container (EINVAL), then the device's actor.
 */
import { call, deviceAddress, deviceApi, lockWrite, type NewFile, type Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { Device, Host, Passable } from '../host.js';
import { matchToken, tokenOf } from '../vf-token.js';
import { devicesOf } from '../vfio-group.js';
import type { GroupCall } from './call.js';

export function* groupGetDeviceFd({ host, file: { group }, client }: GroupCall, text: string): Op<Result<NewFile>> {
  const found = deviceNamed(host, devicesOf(host, group), text);
  if (!found.ok) return found;
  yield* lockWrite(group.lock);
  const { backing, iommuGroup } = group;
  if (backing.kind === 'none') return fail('EINVAL');
  const owner = deviceAddress(found.value.name);
  const context = backing.kind === 'iommufd' && !iommuGroup.noiommu ? backing.context : 0;
  const opened = yield* call(owner, deviceApi.openInGroup, { client, context });
  return opened.ok ? ok({ ...opened.value, owner }) : opened;
}

/** A device that is being unbound is not found any more (b055). */
function deviceNamed(host: Host, devices: readonly Passable[], text: string): Result<Passable> {
  for (const device of devices) {
    const options = device.vfio!.visible ? optionsBehind(device.name, text) : undefined;
    if (options === undefined) continue;
    const agreed = isFunction(device) ? checkOptions(host, device, options) : plainName(options);
    return agreed.ok ? ok(device) : agreed;
  }
  return fail('ENODEV');
}

const isFunction = (device: Passable): device is Device => 'facts' in device;

/** Drivers that know no options compare the name as a whole. */
const plainName = (options: string): Result<undefined> => (options === '' ? ok(undefined) : fail('ENODEV'));

/** What stands behind the name; undefined: another name. */
function optionsBehind(bdf: string, text: string): string | undefined {
  if (!text.startsWith(bdf)) return undefined;
  const rest = text.slice(bdf.length);
  return rest === '' || rest.startsWith(' ') ? rest : undefined;
}

const OPTIONS = /^ *(?:vf_token=(?<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) *)?$/i;

/** EINVAL: an unknown option, one twice, or no UUID; else as {@link matchToken}. */
function checkOptions(host: Host, device: Device, options: string): Result<undefined> {
  const found = OPTIONS.exec(options);
  if (!found) return fail('EINVAL');
  const uuid = found.groups?.['uuid'];
  return matchToken(host, device, uuid === undefined ? undefined : tokenOf(uuid));
}
