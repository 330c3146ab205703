/**
 * Which features a device has.
 *
 * Rule: a feature that the device does not have is ENOTTY, whatever it is asked (trace b064).
 */
import { fail, ok, type Result } from '@vfiolab/uapi';
import * as uapi from '@vfiolab/uapi';
import type { CommonDevice } from '../common-device.js';
import type { VfioDevice } from '../vfio-device.js';
import { dmaBuf } from './dma-buf.js';
import { dmaLoggingReport, dmaLoggingStart, dmaLoggingStop } from './dma-logging.js';
import type { Feature } from './feature.js';
import { lowPowerEntry, lowPowerEntryWithWakeup, lowPowerExit } from './low-power.js';
import { migrationDataSize, migrationFeatures, migrationPrecopyInfo2, migrationState } from './migration.js';
import { vfToken } from './vf-token.js';
import { zpciError } from './zpci-error.js';

/** The features of its own that a driver has. */
export type OwnFeatures<D> = (device: D, number: number) => Feature<D> | undefined;

/** ENOTTY; EINVAL: see the profile flag. */
export function featureOf<D extends CommonDevice>(device: D, own: OwnFeatures<D>, number: number): Result<Feature<D>> {
  const found = common(device, number) ?? own(device, number);
  if (found) return ok(found);
  const strict = number === uapi.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 && device.flags.hasPrecopyInfo2;
  return fail(strict ? 'EINVAL' : 'ENOTTY');
}

/** Those of PCI functions. */
export function pciFeature(device: VfioDevice, number: number): Feature<VfioDevice> | undefined {
  switch (number) {
    case uapi.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN:
      return device.facts.sriov ? vfToken : undefined;
    case uapi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
      return lowPowerEntry;
    case uapi.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
      return lowPowerEntryWithWakeup;
    case uapi.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
      return lowPowerExit;
    case uapi.VFIO_DEVICE_FEATURE_ZPCI_ERROR:
      return device.flags.zpciErrors && device.facts.zpci ? zpciError : undefined;
    case uapi.VFIO_DEVICE_FEATURE_DMA_BUF:
      return device.flags.exportsDmabufs && device.facts.exportsBars ? dmaBuf : undefined;
    default:
      return undefined;
  }
}

/** Those that the vfio core has for every device that can migrate. */
function common(device: CommonDevice, number: number): Feature | undefined {
  switch (number) {
    case uapi.VFIO_DEVICE_FEATURE_MIGRATION:
      return device.migration && migrationFeatures;
    case uapi.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
      return device.migration && migrationState;
    case uapi.VFIO_DEVICE_FEATURE_MIG_DATA_SIZE:
      return device.migration && migrationDataSize;
    case uapi.VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2:
      return device.flags.hasPrecopyInfo2 && device.migration ? migrationPrecopyInfo2 : undefined;
    case uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
      return device.migration && dmaLoggingStart;
    case uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
      return device.migration && dmaLoggingStop;
    case uapi.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
      return device.migration && dmaLoggingReport;
    default:
      return undefined;
  }
}
