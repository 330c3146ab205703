/** Would a service that is restarted now know what it knew? Rule: it only reads; asked when nothing is under way there. */
import { type Address, ByteReader, ByteWriter, type Core, type View } from '@vfiolab/core';
import { makeCore } from '@vfiolab/host';

export function bytesOf(core: Core, view: View): Uint8Array {
  const w = new ByteWriter();
  core.encode(w, view);
  return w.take();
}

/** What a restarted service would not be told by its snapshot, in words. */
export function lostByRestart(address: Address, core: Core): string[] {
  const again = makeCore(address)!;
  try {
    again.decode(new ByteReader(bytesOf(core, 'snapshot')));
  } catch (e) {
    return [`${address}: its snapshot cannot be read: ${(e as Error).message}`];
  }
  const views = (['snapshot', 'meaning'] as const).filter(
    (view) => !Buffer.from(bytesOf(again, view)).equals(bytesOf(core, view)),
  );
  return views.map((view) => `${address}: the ${view} is another one after a restart`);
}
