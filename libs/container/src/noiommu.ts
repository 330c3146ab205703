/** The backend of groups without an IOMMU: it answers one question and maps nothing (semantics A4.1). */
import { CAP_SYS_RAWIO, call, failed, type Op, PAGES, pagesApi } from '@vfiolab/core';
import { fail, ok, type Result, VFIO_NOIOMMU_IOMMU } from '@vfiolab/uapi';
import type { Backend, BackendDriver } from './backend.js';
import type { BackendClaims } from './claims.js';
import type { Host } from './host.js';

const NAME = 'noiommu';

const enabled = (extension: number, host: Host): boolean =>
  extension === VFIO_NOIOMMU_IOMMU && host.get('enable_unsafe_noiommu_mode') !== 0;

class Noiommu implements Backend {
  readonly driver = NAME;
  readonly held = 0;

  constructor(private readonly host: Host) {}

  checkExtension(extension: number): number {
    return enabled(extension, this.host) ? 1 : 0;
  }

  ioctl(): ReturnType<Backend['ioctl']> {
    return failed('ENOTTY');
  }

  *join(): Op<Result<void>> {
    return ok(undefined);
  }
  *leave(): Op<void> {}
  *release(): Op<void> {}
  encode(): void {}
  check(): string[] {
    return [];
  }
  claims(): BackendClaims {
    return { covers: [], domains: [], domainOf: () => undefined };
  }
  describe(): string[] {
    return [NAME];
  }
}

export const noiommuDriver: BackendDriver = {
  name: NAME,
  noiommu: true,
  offers: enabled,
  /** EPERM: the caller has no CAP_SYS_RAWIO. */
  *open(_type, host, client) {
    const caps = yield* call(PAGES, pagesApi.capabilities, { client });
    return (caps & CAP_SYS_RAWIO) === 0 ? fail('EPERM') : ok(new Noiommu(host));
  },
  decode: (_r, host) => new Noiommu(host),
};
