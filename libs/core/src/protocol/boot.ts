/**
 * What every actor does besides its service: start under an epoch, and witness the heads of other actors' journals.
 *
 * Rule: an actor answers nobody before the lab has given its instance an epoch; whoever speaks under an older epoch
 * than was seen is refused (`fenced`).
 */
import { api, list, message, method, nothing, num, str, u32, type ValueOf } from '../codec.js';

const head = message({ seq: num, hash: str });

export const registration = message({ epoch: u32, seq: num, hash: str });
export type Registration = ValueOf<typeof registration>;

/** `lines` is cut at the bound. `busy`: operations in flight; invariants were not looked at. */
const inspection = message({
  lines: list(str),
  broken: list(str),
  figures: list(message({ name: str, value: num })),
  busy: u32,
});
export const MAX_INSPECT_LINES = 2000;

export const bootApi = api('boot', {
  /** An actor to itself, first of all: begin under a new instance name. */
  start: method(0xff00, message({ instance: str }), nothing),
  /** Event of an actor to itself: the time of an alarm has come. */
  alarm: method(0xff04, message({ id: num }), nothing),
  /** To the lab: give this instance authority. Answers the epoch and the witnessed journal head of the caller. */
  register: method(0xff01, message({ instance: str }), registration),
  /** From a client: the state for people, what is broken in it (asked at rest), and its figures. */
  inspect: method(0xff03, nothing, inspection, { clients: true }),
  /** Event to a witness: my journal has reached this record. */
  witness: method(0xff02, head, nothing),
});
