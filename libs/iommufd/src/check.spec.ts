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
  source: 0n,
  startByte: 0n,
  prot: 3,
  state: 'live',
  covers: 0,
  accesses: 0,
  locks: 0,
  closedToAccesses: false,
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
  [
    'an area that lies over another',
    ({ ioas }: Sound) => {
      ioas.areas.insert({ ...area(0x2000n), last: 0x4fffn });
      Object.assign([...ioas.areas][0]!, { last: 0x2fffn });
    },
    /I28: IOAS 1, IOVA 0x2000 is mapped twice/,
  ],
  [
    'an area that lies within another',
    ({ ioas }: Sound) => {
      ioas.areas.insert(area(0x2000n));
      Object.assign([...ioas.areas][0]!, { last: 0x4fffn });
    },
    /I28: IOAS 1, IOVA 0x2000 is mapped twice/,
  ],
  [
    'an allowed range that is reserved',
    ({ ioas }: Sound) => {
      ioas.allowed.push({ start: 0x8000n, last: 0x8fffn });
      ioas.reserved.push({ start: 0x8fffn, last: 0x9000n, owner: 'test' });
    },
    /I28: IOAS 1, IOVA 0x8000 is allowed and reserved/,
  ],
  [
    'a reserved range of a device that is not attached',
    ({ ioas, device }: Sound) => void ioas.reserved.push({ start: 0x9000n, last: 0x9fffn, owner: device.bdf }),
    /I29: IOAS 1, IOVA 0x9000 is reserved by 0000:00:01.0, which is gone/,
  ],
  [
    'a reserved range of a domain that has left',
    ({ ioas }: Sound) => void ioas.reserved.push({ start: 0x9000n, last: 0x9fffn, owner: 'hwpt:7' }),
    /I29: .* reserved by hwpt:7/,
  ],
  [
    'an alignment that nobody wants',
    ({ ioas }: Sound) => void (ioas.alignment = 512n),
    /I30: IOAS 1 has alignment 512, not 1/,
  ],
  [
    'small pages that the alignment does not know of',
    ({ ioas, access }: Sound) => {
      ioas.accesses = [];
      ioas.users--;
      access.ioas = undefined;
      ioas.hugePages = false;
      ioas.alignment = 1n;
    },
    /I30: IOAS 1 has alignment 1, not 4096/,
  ],
  [
    'an area that is not on pages',
    ({ ioas }: Sound) => {
      ioas.areas.insert({ ...area(0x5000n), source: 100n, startByte: 100n });
      ioas.hugePages = false;
      ioas.alignment = 4096n;
    },
    /I30: IOAS 1, IOVA 0x5000 is misaligned/,
  ],
  [
    'IOVAs that are told to be free and are not',
    ({ ioas }: Sound) => {
      ioas.reserved.push({ start: 0x8000n, last: 0x8fffn, owner: 'test' });
      ioas.ranges = () => [{ start: 0n, last: 0xffff_ffff_ffff_ffffn }];
    },
    /I31: IOAS 1, IOVA 0x0 is told to be free and is reserved/,
  ],
  [
    'IOVAs of which nobody is told',
    ({ ioas }: Sound) => void (ioas.ranges = () => [{ start: 0x1000n, last: 0xffff_ffff_ffff_ffffn }]),
    /I31: IOAS 1 has IOVAs that are neither free nor reserved/,
  ],
  [
    'an area outside of the aperture',
    ({ ioas, add }: Sound) => {
      ioas.hwpts.push(add(new PagingHwpt(ioas, DOMAIN)));
      ioas.users++;
      ioas.areas.insert({ ...area(0xff000n), last: 0x100fffn, covers: 1 });
    },
    /I32: IOAS 1, IOVA 0xff000 is outside of HWPT 5/,
  ],
  [
    'an object that refers to one that was destroyed',
    ({ context, ioas }: Sound) => void context.objects.remove(ioas),
    /I35: access 2 refers to ioas 1, which is destroyed/,
  ],
  [
    'references that go round in a circle',
    ({ ioas, add }: Sound) => {
      const hwpt = add(new PagingHwpt(ioas, DOMAIN));
      const viommu = add(new Viommu(hwpt));
      Object.assign(hwpt, { fault: viommu });
    },
    /I33: hwpt 5 refers to itself by way of viommu 6/,
  ],
  [
    'an id that is dead and in use',
    ({ context, ioas }: Sound) => context.objects.restoreTombstone(ioas.id),
    /I34: id 1 is dead and names a ioas/,
  ],
  [
    'an id that was begun and forgotten',
    ({ context }: Sound) => void context.objects.reserve(new FaultQueue()),
    /I34: id 5 was reserved and never published/,
  ],
  [
    'a compatibility IOAS that is no more',
    ({ context }: Sound) => void (context.compatIoas = new Ioas()),
    /I34: the compatibility IOAS 0 is destroyed/,
  ],
  [
    'a context that nobody can reach',
    ({ context, device }: Sound) => {
      context.objects.remove(device);
      context.fileOpen = false;
    },
    /I27: nobody can reach it any more/,
  ],
] as const)('%s is found', (_what, spoil, message) => {
  const s = sound();
  spoil(s);
  expect(checkContext(s.context).join('\n')).toMatch(message);
});
