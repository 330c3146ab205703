/**
 * docker-compose.yml of this project, for a test: a project of its own, on a port of its own.
 *
 * Rule: nothing is left behind: containers, volumes and networks go with `down`.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '@vfiolab/shell';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const OFFICIAL = { NODE_IMAGE: 'node:22-bookworm-slim', NATS_IMAGE: 'nats:2.10' };
const SERVICES = ['lab', 'groups', 'pages', 'iommu', 'iommufd', 'container', 'device'];
const run = promisify(execFile);
const works = (command: string, ...args: string[]): boolean => spawnSync(command, args).status === 0;

/** Why there can be no containers here; empty when there can. */
export function absence(): string {
  if (!works('docker', 'info')) return 'no docker daemon answers';
  return composeCommand() ? '' : 'docker compose is not installed';
}

const composeCommand = (): [string, ...string[]] | undefined =>
  works('docker', 'compose', 'version')
    ? ['docker', 'compose']
    : works('docker-compose', 'version')
      ? ['docker-compose']
      : undefined;

/** The official images where they are or can be had, else stand-ins of what this machine has installed. */
function baseImages(): Record<string, string> {
  const missing = (image: string): boolean =>
    !works('docker', 'image', 'inspect', image) && !works('docker', 'pull', '--quiet', image);
  if (!Object.values(OFFICIAL).some(missing)) return OFFICIAL;
  const { status, stdout, stderr } = spawnSync('sh', [join(ROOT, 'test/e2e/compose/stand-ins.sh')], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`no stand-ins for the base images: ${stderr}`);
  return Object.fromEntries(
    stdout
      .trim()
      .split(' ')
      .map((pair) => pair.split('=') as [string, string]),
  );
}

export class Composition {
  private constructor(
    private readonly project: string,
    private readonly port: number,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  /** Builds the image and starts all containers; resolves when every service is healthy. */
  static async up(): Promise<Composition> {
    const port = await freePort();
    const env = { ...process.env, ...baseImages(), VFIOLAB_PORT: String(port) };
    const composition = new Composition(`vfiolab-test-${process.pid}`, port, env);
    // All services have one image.
    await composition.compose('build', 'lab');
    await composition.compose('up', '-d', '--no-build');
    await Promise.all(SERVICES.map((service) => composition.healthy(service)));
    return composition;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  private compose(...args: string[]): Promise<{ stdout: string }> {
    const [command, ...first] = composeCommand()!;
    return run(command, [...first, '-p', this.project, ...args], { cwd: ROOT, env: this.env, maxBuffer: 2 ** 26 });
  }

  private async container(service: string): Promise<string> {
    const { stdout } = await this.compose('ps', '-q', service);
    return stdout.trim();
  }

  /** What docker says of a service's container, by a Go template. */
  private async inspect(service: string, template: string): Promise<string> {
    const { stdout } = await run('docker', ['inspect', '--format', template, await this.container(service)]);
    return stdout.trim();
  }

  private async healthy(service: string): Promise<void> {
    const until = Date.now() + 90_000;
    while ((await this.inspect(service, '{{.State.Health.Status}}')) !== 'healthy') {
      if (Date.now() > until) throw new Error(`${service} is not healthy: ${await this.health(service)}`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /** What the health check says now: empty when all is well. */
  async health(service: string): Promise<string> {
    const id = await this.container(service);
    const checked = run('docker', ['exec', id, 'node', 'libs/shell/dist/healthy.js']);
    return checked.then(
      () => '',
      (e: Error & { stderr?: string }) => e.stderr ?? e.message,
    );
  }

  /** Whether a container is held as short as it should be. */
  confinement(service: string): Promise<string> {
    return this.inspect(
      service,
      '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}',
    );
  }

  async kill(service: string): Promise<void> {
    await run('docker', ['kill', await this.container(service)]);
  }

  async start(service: string): Promise<void> {
    await run('docker', ['start', await this.container(service)]);
  }

  /** Takes a service off the network or puts it back; its process lives on. */
  async network(service: string, change: 'connect' | 'disconnect'): Promise<void> {
    await run('docker', ['network', change, `${this.project}_default`, await this.container(service)]);
  }

  /** Stops the services and copies their journals to where those of a run lie. */
  async journals(dir: string): Promise<void> {
    await this.compose('stop', ...SERVICES);
    mkdirSync(join(dir, 'journals'), { recursive: true });
    for (const service of SERVICES)
      await run('docker', ['cp', `${await this.container(service)}:/data/.`, join(dir, 'journals')]);
  }

  async down(): Promise<void> {
    await this.compose('down', '--volumes', '--timeout', '5');
  }
}
