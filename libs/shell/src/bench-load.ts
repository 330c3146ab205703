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

/** Runs `request(done)` until all are answered; `done` is called once for each, at any time. */
export async function measure(
  { inFlight, requests }: Load,
  request: (done: (error?: Error) => void) => void,
): Promise<Measured> {
  await run(inFlight, Math.ceil(requests / 10), request, undefined);
  const times = new Float64Array(requests);
  const began = performance.now();
  await run(inFlight, requests, request, times);
  const seconds = (performance.now() - began) / 1000;
  times.sort();
  return { p50us: times[requests >> 1]! * 1000, rate: requests / seconds };
}

function run(
  inFlight: number,
  requests: number,
  request: (done: (error?: Error) => void) => void,
  times: Float64Array | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let answered = 0;
    const next = (): void => {
      if (sent === requests) return;
      const n = sent++;
      const began = performance.now();
      request((error) => {
        if (error) return reject(error);
        if (times) times[n] = performance.now() - began;
        if (++answered === requests) resolve();
        else next();
      });
    };
    for (let i = 0; i < inFlight; i++) next();
  });
}
