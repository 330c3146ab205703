/**
 * What every actor does besides its service: start under an epoch, and witness the heads of other actors' journals.
 *
 * Rule: an actor answers nobody before the lab has given its instance an epoch; whoever speaks under an older epoch
 * than was seen is refused (`fenced`).
 */
import { api, message, method, nothing, num, str, u32, type ValueOf } from '../codec.js';

const head = message({ seq: num, hash: str });

export const registration = message({ epoch: u32, seq: num, hash: str });
export type Registration = ValueOf<typeof registration>;

export const bootApi = api('boot', {
  /** An actor to itself, first of all: begin under a new instance name. */
  start: method(0xff00, message({ instance: str }), nothing),
  /** To the lab: give this instance authority. Answers the epoch and the witnessed journal head of the caller. */
  register: method(0xff01, message({ instance: str }), registration),
  /** Event to a witness: my journal has reached this record. */
  witness: method(0xff02, head, nothing),
});
