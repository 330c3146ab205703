import { nextState } from './arcs.js';

const [ERROR, STOP, RUNNING, STOP_COPY, RESUMING, RUNNING_P2P, PRE_COPY, PRE_COPY_P2P] = [0, 1, 2, 3, 4, 5, 6, 7];
const [STOP_COPY_ONLY, P2P, PRECOPY] = [1, 2, 4];
const ALL = STOP_COPY_ONLY | P2P | PRECOPY;

/** The states on the way, the last one included; undefined: there is no way. */
function way(from: number, to: number, features: number): number[] | undefined {
  const states: number[] = [];
  for (let at = from; at !== to && states.length < 9;) {
    const next = nextState(at, to, features);
    if (!next.ok) return undefined;
    states.push((at = next.value));
  }
  return states;
}

// The ways that the kernel's documentation lists, with all features.
test.each<[number, number[]]>([
  [PRE_COPY, [PRE_COPY_P2P, STOP_COPY]],
  [PRE_COPY, [RUNNING, RUNNING_P2P]],
  [PRE_COPY, [RUNNING, RUNNING_P2P, STOP]],
  [PRE_COPY, [RUNNING, RUNNING_P2P, STOP, RESUMING]],
  [PRE_COPY_P2P, [RUNNING_P2P, RUNNING]],
  [PRE_COPY_P2P, [RUNNING_P2P, STOP]],
  [PRE_COPY_P2P, [RUNNING_P2P, STOP, RESUMING]],
  [RESUMING, [STOP, RUNNING_P2P]],
  [RESUMING, [STOP, RUNNING_P2P, PRE_COPY_P2P]],
  [RESUMING, [STOP, RUNNING_P2P, RUNNING]],
  [RESUMING, [STOP, RUNNING_P2P, RUNNING, PRE_COPY]],
  [RESUMING, [STOP, STOP_COPY]],
  [RUNNING, [RUNNING_P2P, PRE_COPY_P2P]],
  [RUNNING, [RUNNING_P2P, STOP]],
  [RUNNING, [RUNNING_P2P, STOP, RESUMING]],
  [RUNNING, [RUNNING_P2P, STOP, STOP_COPY]],
  [RUNNING_P2P, [RUNNING, PRE_COPY]],
  [RUNNING_P2P, [STOP, RESUMING]],
  [RUNNING_P2P, [STOP, STOP_COPY]],
  [STOP, [RUNNING_P2P, PRE_COPY_P2P]],
  [STOP, [RUNNING_P2P, RUNNING]],
  [STOP, [RUNNING_P2P, RUNNING, PRE_COPY]],
  [STOP_COPY, [STOP, RESUMING]],
  [STOP_COPY, [STOP, RUNNING_P2P]],
  [STOP_COPY, [STOP, RUNNING_P2P, RUNNING]],
])('from %i: %j', (from, states) => {
  expect(way(from, states.at(-1)!, ALL)).toEqual(states);
});

test.each<[string, number, number, number, number[] | undefined]>([
  ['without P2P a device runs and stops directly', RUNNING, STOP_COPY, STOP_COPY_ONLY, [STOP, STOP_COPY]],
  ['without P2P PRE_COPY ends in STOP_COPY directly', PRE_COPY, STOP_COPY, STOP_COPY_ONLY | PRECOPY, [STOP_COPY]],
  ['a state of a feature that is missing', RUNNING, PRE_COPY, STOP_COPY_ONLY | P2P, undefined],
  ['P2P that is missing', STOP, RUNNING_P2P, STOP_COPY_ONLY, undefined],
  ['from STOP_COPY to PRE_COPY', STOP_COPY, PRE_COPY, ALL, undefined],
  ['from STOP_COPY to PRE_COPY_P2P', STOP_COPY, PRE_COPY_P2P, ALL, undefined],
  ['to ERROR', RUNNING, ERROR, ALL, undefined],
  ['out of ERROR', ERROR, RUNNING, ALL, undefined],
  ['to a state that there is not', RUNNING, 8, ALL, undefined],
])('%s', (_what, from, to, features, states) => {
  expect(way(from, to, features)).toEqual(states);
});
