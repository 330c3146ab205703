/** `vfiolab cluster serve`: a policy for a real kube-scheduler, as its extender. */
import { LiveCluster } from '@vfiolab/cluster';
import { policiesOf, readHosts } from '../cluster-input.js';
import { type Context, type Input, OK, UsageError, wholeNumber } from '../command.js';
import { Extender } from './extender.js';
import { ExtenderServer } from './extender-server.js';

const DEFAULT_POLICY = 'switches';
const DEFAULT_PORT = 9797;
const PORTS = 65_535;

/** Resolves when the process is asked to end. */
const asked = (): Promise<void> =>
  new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });

/** `until`: when to stop; default: when the process is asked to end. */
export async function serveCluster(input: Input, { terminal, json }: Context, until = asked): Promise<number> {
  const chosen = policiesOf(input.text('policy') ?? DEFAULT_POLICY);
  if (chosen.length > 1) throw new UsageError('--policy: one policy is served.');
  const port = wholeNumber('port', input.text('port') ?? String(DEFAULT_PORT), PORTS);
  const { hosts, kinds, pods } = readHosts(input);
  const extender = new Extender(new LiveCluster(hosts, kinds, chosen[0]!, pods), kinds);
  let server: ExtenderServer;
  try {
    server = await ExtenderServer.listen(extender, port);
  } catch (error) {
    throw new UsageError(`--port ${port}: ${(error as Error).message}.`);
  }
  const verbs = Object.keys(extender.verbs);
  if (json) terminal.json({ url: server.url, verbs, policy: chosen[0]!.name, hosts: hosts.names.length });
  else terminal.out(`${server.url} answers ${verbs.join(', ')} by ${chosen[0]!.name} for ${hosts.names.length} hosts.`);
  await until();
  await server.close();
  return OK;
}
