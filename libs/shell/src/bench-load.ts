/** Load for the shell's benchmarks: callers that keep a number of requests in flight, and what they measured. */

export interface Load {
  /** Requests in flight at any time. */
  readonly inFlight: number;
  /** Requests measured, after a tenth of it as warm-up. */
  readonly requests: number;
}

export interface Measured {
  /** Median time of one request, microseconds. */
  readonly p50us: number;
  /** Requests per second. */
  readonly rate: number;
}

const SAMPLED = 16;

/** Runs `request(done)` until all are answered; `done` is called once for each, at any time. */
export async function measure(
  { inFlight, requests }: Load,
  request: (done: (error?: Error) => void) => void,
): Promise<Measured> {
  await run(inFlight, Math.ceil(requests / 10), request, undefined);
  // Reading the clock is a good part of the work of a fast request: with many in flight, one in sixteen is timed.
  const every = inFlight === 1 ? 1 : SAMPLED;
  const times = new Float64Array(Math.ceil(requests / every));
  const began = performance.now();
  await run(inFlight, requests, request, { times, every });
  const seconds = (performance.now() - began) / 1000;
  times.sort();
  return { p50us: times[times.length >> 1]! * 1000, rate: requests / seconds };
}

function run(
  inFlight: number,
  requests: number,
  request: (done: (error?: Error) => void) => void,
  sample: { times: Float64Array; every: number } | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let answered = 0;
    const next = (): void => {
      if (sent === requests) return;
      const n = sent++;
      const timed = sample !== undefined && n % sample.every === 0;
      const began = timed ? performance.now() : 0;
      request((error) => {
        if (error) return reject(error);
        if (timed) sample.times[n / sample.every] = performance.now() - began;
        if (++answered === requests) resolve();
        else next();
      });
    };
    for (let i = 0; i < inFlight; i++) next();
  });
}
