/**
 * The NATS server of a lab that has one of its own: on loopback, and back on the same port when it ends by itself.
 */
import { freePort, type NatsServer, startNatsServer } from '@vfiolab/shell';
import { sleep } from '../open-link.js';

const AGAIN_MS = 200;

export class OwnServer {
  restarts = 0;
  private stopped = false;

  private constructor(
    private readonly port: number,
    private config: string,
    private server: NatsServer,
  ) {
    this.keep(server);
  }

  /** Rejects when nats-server is not installed or does not start. */
  static async start(config: string): Promise<OwnServer> {
    const port = await freePort();
    return new OwnServer(port, config, await startNatsServer({ port, config }));
  }

  /** Has it follow these lines of configuration. */
  reload(config: string): void {
    if (config === this.config) return;
    this.config = config;
    this.server.reload(config);
  }

  get url(): string {
    return this.server.url;
  }

  get pid(): number {
    return this.server.pid;
  }

  private keep(server: NatsServer): void {
    void server.gone.then(() => this.startAgain());
  }

  private async startAgain(): Promise<void> {
    while (!this.stopped) {
      await sleep(AGAIN_MS);
      if (this.stopped) return;
      this.restarts++;
      const server = await startNatsServer({ port: this.port, config: this.config }).catch(() => undefined);
      if (!server) continue;
      this.server = server;
      if (this.stopped) return server.stop();
      return this.keep(server);
    }
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.server.stop();
  }
}
