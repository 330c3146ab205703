/**
 * What must be ended with this process: servers and services that it started.
 *
 * Rule: one listener on the process, however many there are; each is forgotten once it has ended by itself.
 */
const endings = new Set<() => void>();
let listening = false;

function endAll(): void {
  for (const end of endings) end();
}

/** Runs `end` when this process exits, unless the answer was called before. It must not wait for anything. */
export function atExit(end: () => void): () => void {
  if (!listening) process.once('exit', endAll);
  listening = true;
  endings.add(end);
  return () => void endings.delete(end);
}
