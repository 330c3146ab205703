import { Access } from './access.js';
import { checkContext } from './check.js';
import { BoundDevice, Context } from './context.js';
import { FaultQueue } from './fault-queue.js';
import { PagingHwpt } from './hwpt.js';
import { type Area, Ioas } from './ioas.js';
import type { IommufdObject } from './objects.js';
import { Viommu } from './viommu.js';

const DOMAIN = { domain: 1, granule: 12, first: 0n, last: 0xffffn, pageSizes: 0x1000n };
const area = (start: bigint): Area => ({
  start,
  last: start + 4095n,
  store: { id: 1, client: 'c', va: 0n, writable: true, areas: 1, unpinning: 0, dmabuf: undefined, revoked: false },
  startByte: 0n,
  prot: 3,
  state: 'live',
  covers: 0,
  accesses: 0,
  locks: 0,
});

/** A sound context: an IOAS with an area and an access, a fault queue with an open file, and a device. */
function sound() {
  const context = new Context(1);
  const add = <T extends IommufdObject>(object: T): T => {
    context.objects.reserve(object);
    context.objects.finalize(object);
    return object;
  };
  const ioas = add(new Ioas());
  const access = add(new Access(false));
  access.ioas = ioas;
  ioas.accesses.push(access);
  ioas.users++;
  ioas.areas.insert(area(0x1000n));
  const queue = add(new FaultQueue());
  const device = add(new BoundDevice('0000:00:01.0', context.igroup(1, ['0000:00:01.0'])));
  return { context, add, ioas, access, queue, device };
}
type Sound = ReturnType<typeof sound>;

it('a sound context has no problems', () => {
  expect(checkContext(sound().context)).toEqual([]);
});

it.each([
  ['an IOAS that counts a holder too many', ({ ioas }: Sound) => void ioas.users++, /I33: ioas 1 counts 3 users, 2/],
  ['an access that lost its driver', ({ access }: Sound) => void access.users--, /I33: access 2/],
  ['a queue whose file is closed', ({ queue }: Sound) => void (queue.fileOpen = false), /I33: fault 3/],
  ['a device that counts an attachment', ({ device }: Sound) => void device.users++, /I33: device 4/],
  [
    'a PASID that nobody counts',
    ({ add, ioas, device }: Sound) => {
      const hwpt = add(new PagingHwpt(ioas, DOMAIN));
      ioas.users++;
      device.igroup.pasids.push({ pasid: 1, device, hwpt });
    },
    /I33: device 4 counts 2 users, 3.*I33: hwpt 5 counts 1 users, 2/s,
  ],
  [
    'a vIOMMU that its parent does not count',
    ({ add, ioas }: Sound) => {
      const hwpt = add(new PagingHwpt(ioas, DOMAIN));
      ioas.users++;
      add(new Viommu(hwpt));
    },
    /I33: hwpt 5 counts 1 users, 2/,
  ],
  [
    'an auto HWPT without a device',
    ({ add, ioas }: Sound) => {
      add(new PagingHwpt(ioas, DOMAIN)).auto = true;
      ioas.users++;
    },
    /I36: auto HWPT 5/,
  ],
  [
    'a pin of an access that the area does not count',
    ({ ioas, access }: Sound) => {
      const slices = [{ area: [...ioas.areas][0]!, first: 0, count: 1 }];
      access.items.push({ id: 0, start: 0x1000n, last: 0x1fffn, slices });
    },
    /I20: .* counts 0 slices of accesses, they have 1/,
  ],
  [
    'a mapped range that is reserved',
    ({ ioas }: Sound) => void ioas.reserved.push({ start: 0n, last: 0x1fffn, owner: 'test' }),
    /I28: .* is mapped and reserved/,
  ],
] as const)('%s is found', (_what, spoil, message) => {
  const s = sound();
  spoil(s);
  expect(checkContext(s.context).join('\n')).toMatch(message);
});
