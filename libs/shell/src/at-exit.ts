/**
 * What must be ended with this process: servers and services that it started.
 *
 * Rule: one listener on the process, however many there are; each is forgotten once it has ended by itself. A signal that
 * ends the process ends them too; only SIGKILL, which nothing can catch, leaves them behind.
 */
const endings = new Set<() => void>();
let listening = false;

/** Without a listener these end the process before it could end anything; the exit codes are those of a shell. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

function endAll(): void {
  for (const end of endings) end();
}

function listen(): void {
  listening = true;
  process.once('exit', endAll);
  for (const [signal, code] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(code));
}

/** Runs `end` when this process exits, unless the answer was called before. It must not wait for anything. */
export function atExit(end: () => void): () => void {
  if (!listening) listen();
  endings.add(end);
  return () => void endings.delete(end);
}
