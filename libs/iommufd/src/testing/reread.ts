/** The state of iommufd, written and read back: both views must be the same as before. */
import { ByteReader, ByteWriter, IOMMUFD, type View } from '@vfiolab/core';
import type { TestHost } from '@vfiolab/sim';
import { IommufdCore } from '../iommufd-core.js';

export async function rereads(host: TestHost): Promise<boolean> {
  const { core } = host.host.actor(IOMMUFD)!.machine;
  const snapshot = bytesOf(core, 'snapshot');
  const again = new IommufdCore();
  const r = new ByteReader(snapshot);
  again.decode(r);
  r.done();
  const same = (view: View): boolean => Buffer.from(bytesOf(again, view)).equals(Buffer.from(bytesOf(core, view)));
  return same('snapshot') && same('meaning') && again.check().length === 0;
}

function bytesOf(core: { encode(w: ByteWriter, view: View): void }, view: View): Uint8Array {
  const w = new ByteWriter();
  core.encode(w, view);
  return w.take();
}
