/** Answering a request in place of the service that it went to: what a service in trouble would say. */
import { type Address, decodeHeader, encodeFrame, type Method, REPLY, REQUEST, STATUS } from '@vfiolab/core';
import type { SimHost } from './sim-host.js';

/** The request is not carried out by anybody. The answer looks as the service itself would make it now. */
export function answerFor<R>(
  host: SimHost,
  { from, to, id }: { readonly from: Address; readonly to: Address; readonly id: number },
  method: Method<any, R>,
  reply: R,
): void {
  // It must not have said anything that it does not know.
  const { clock, epoch } = host.actor(to)!.machine;
  const about = { kind: REPLY, method: STATUS.ok, flags: 0, epoch, id, floor: 0, clock, seen: 0, deadline: 0 };
  host.network.send(to, from, encodeFrame(about, method.reply, reply));
}

/** The next request for this method is answered so. Tells whether there was one. */
export function refuseNext<R>(host: SimHost, to: Address, method: Method<any, R>, reply: R): () => boolean {
  let met = false;
  const stop = host.watch((from, target, frame, when) => {
    if (when !== 'arriving' || target !== to) return false;
    const { kind, method: asked, id } = decodeHeader(frame);
    if (kind !== REQUEST || asked !== method.id) return false;
    met = true;
    stop();
    answerFor(host, { from, to, id }, method, reply);
    return true;
  });
  return () => met;
}
