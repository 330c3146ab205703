/**
 * The small HTTP server of a service's process, for those who watch it.
 *
 * Words: *pages* are what it shows: a path and a function that makes the answer.
 * Rule: it only shows. It listens where `VFIOLAB_WATCH` says and nowhere else, answers GET alone, and holds no more than
 * `MAX_WATCHERS` connections.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { WatchAt } from './shell-config.js';

export interface Shown {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

export type Pages = Readonly<Record<string, () => Shown | Promise<Shown>>>;

/** Connections at once; more are closed. */
export const MAX_WATCHERS = 32;
/** A watcher that has not sent its question by then is dropped, ms. */
const PATIENCE_MS = 5000;

export const json = (status: number, value: unknown): Shown => ({
  status,
  type: 'application/json',
  text: `${JSON.stringify(value)}\n`,
});

export class WatchServer {
  private constructor(private readonly server: Server) {}

  /** Rejects when the port cannot be had. */
  static listen({ address, port }: WatchAt, pages: Pages): Promise<WatchServer> {
    const server = createServer((request, response) => void answer(pages, request, response));
    server.maxConnections = MAX_WATCHERS;
    server.headersTimeout = server.requestTimeout = PATIENCE_MS;
    return new Promise((resolve, reject) => {
      server.once('error', (e) => reject(new Error(`VFIOLAB_WATCH: ${e.message}`)));
      server.listen(port, address, () => {
        server.unref();
        resolve(new WatchServer(server));
      });
    });
  }

  /** Where it listens: the system's choice when port 0 was asked for. */
  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}

async function answer(pages: Pages, { method, url = '/' }: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, type, text } = await shown(pages, method, url.split('?', 1)[0]!);
  response.writeHead(status, { 'content-type': type });
  response.end(text);
}

async function shown(pages: Pages, method: string | undefined, path: string): Promise<Shown> {
  if (method !== 'GET') return json(405, { error: 'only GET is answered here' });
  if (!Object.hasOwn(pages, path)) return json(404, { error: `there are ${Object.keys(pages).join(', ')}` });
  try {
    return await pages[path]!();
  } catch (e) {
    return json(500, { error: (e as Error).message });
  }
}
